"""What a training step takes in time and memory: by setting on a CPU, or at full size on a GPU against a plain loop.

    OMP_NUM_THREADS=1 python -m benchmarks.model.training
    python -m benchmarks.model.training --gpu

Without `--gpu`, a model four times as heavy as `tiny` with random weights takes stage-1 steps under each setting, every
row in a process of its own; seconds and memory are also given as a share of the first row's, within a round. With
`--gpu`, the full-size model with random weights takes steps of both stages at batch sizes from `--batches` until memory
ends: as vptrain does, with and without cached latents, and as `plain_loop.py`. The share of the matrix rate is useful
arithmetic (nothing computed twice) by what a large bf16 product reaches on the same device. Prints tables, or JSON with
`--json`. With `--gpu` each row is also said as soon as it is there, as JSON, and a missed goal exits with 1.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.model.training_process import Job, Measured
from vpdata.cli import output
from vpdata.pages.units import as_bytes

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "baseline": (),
    "activation_checkpointing": ("activation_checkpointing=true",),
    "micro-batches of 1": ("micro_batch_size=1",),
    "moving average": ("ema_decay=0.999",),
    "adapters, rank 8": ("lora_rank=8",),
    "8-bit AdamW": ("optimizer=adamw8bit",),
    "bf16": ("precision=bf16",),
    "channels last": ("channels_last=true",),
}
GPU_WAYS = {
    "plain loop": Job(way="plain", stage="", model="", windows=0),
    "ours": Job(way="ours", stage="", model="", windows=0),
    "ours, cached latents": Job(way="ours", stage="", model="", windows=0, latents=True),
}
GPU_SETTINGS = ("precision=bf16", "channels_last=true", "compile=true")
GOALS = {"stage1": 2.0, "stage2": 4.0}
GOAL_SHARE = 0.45


def timed(job: Job) -> Measured:
    """One row, in a process of its own whose messages go to our standard error."""
    command = [sys.executable, "-m", "benchmarks.model.training_process", json.dumps(asdict(job))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def by_setting(*, model: str, windows: int, steps: int, rounds: int) -> list[dict[str, Any]]:
    """A row a setting: seconds a step and peak memory, and both as the median share of the baseline's in a round."""
    settings = dict(SETTINGS)
    if importlib.util.find_spec("bitsandbytes") is None:
        output.say("bitsandbytes is NOT INSTALLED: 8-bit AdamW is not measured.")
        del settings["8-bit AdamW"]
    found: dict[str, list[Measured]] = {name: [] for name in settings}
    for _ in range(rounds):
        for name, chosen in settings.items():
            job = Job(way="ours", stage="stage1", model=model, windows=windows, steps=steps, settings=chosen)
            found[name].append(timed(job))
    return [_setting_row(name, found[name], found["baseline"]) for name in settings]


def _setting_row(name: str, rows: Sequence[Measured], baselines: Sequence[Measured]) -> dict[str, Any]:
    pairs = list(zip(rows, baselines, strict=True))
    return {
        "setting": name,
        "seconds a step": statistics.median(row.seconds for row in rows),
        "of baseline": round(statistics.median(row.seconds / base.seconds for row, base in pairs), 2),
        "peak memory": as_bytes(statistics.median(row.peak_bytes for row in rows)),
        "of the baseline": round(statistics.median(row.peak_bytes / base.peak_bytes for row, base in pairs), 2),
        "--dry-run": as_bytes(rows[0].estimated_bytes),
    }


def by_batch(
    *, model: str, device: str, stages: Sequence[str], batches: Sequence[int], steps: int, settings: Sequence[str]
) -> dict[str, dict[str, dict[int, Measured]]]:
    """Stage, way and batch size to what was measured, each way up to the first batch size that does not fit.

    Every row is said as soon as it is there, all ways of a batch size after each other: what is cut off leaves ratios.
    """
    found: dict[str, dict[str, dict[int, Measured]]] = {}
    for stage in stages:
        ways = {
            name: replace(way, stage=stage, model=model, device=device, steps=steps) for name, way in GPU_WAYS.items()
        }
        found[stage] = {name: {} for name in ways}
        for windows in batches:
            for name, way in list(ways.items()):
                job = replace(way, windows=windows, settings=() if way.way == "plain" else tuple(settings))
                measured = _tried(job, name)
                if measured is None:
                    del ways[name]
                else:
                    found[stage][name][windows] = measured
                    output.say(json.dumps(_batch_row(stage, name, windows, measured)))
    return found


def _tried(job: Job, name: str) -> Measured | None:
    """A row; None, with a message, where the batch does not fit or the process failed."""
    try:
        measured = timed(job)
    except subprocess.CalledProcessError as error:
        output.say(
            f"{job.stage}, {name}: {job.windows} windows FAILED (exit {error.returncode}); its traceback is above."
        )
        return None
    if not measured.fits:
        output.say(f"{job.stage}, {name}: {job.windows} windows do not fit.")
        return None
    return measured


def batch_rows(found: Mapping[str, Mapping[str, Mapping[int, Measured]]]) -> list[dict[str, Any]]:
    """A row a measurement."""
    return [
        _batch_row(stage, way, windows, measured)
        for stage, ways in found.items()
        for way, sizes in ways.items()
        for windows, measured in sizes.items()
    ]


def _batch_row(stage: str, way: str, windows: int, measured: Measured) -> dict[str, Any]:
    return {
        "stage": stage,
        "way": way,
        "windows a step": windows,
        "seconds a step": measured.seconds,
        "images/s": measured.images / measured.seconds,
        "TFLOP/s": measured.flops / measured.seconds / 1e12,
        "of the matrix rate": round(measured.flops / measured.seconds / measured.matmul_flops, 3),
        "peak memory": as_bytes(measured.peak_bytes),
        "--dry-run": as_bytes(measured.estimated_bytes) if measured.estimated_bytes else "",
    }


def goal_rows(found: Mapping[str, Mapping[str, Mapping[int, Measured]]]) -> list[dict[str, Any]]:
    """Images a second by the plain loop's, each at its fastest batch size; and the best share of the matrix rate."""
    rows = []
    for stage, ways in found.items():
        best = {
            way: max((one.images / one.seconds for one in sizes.values()), default=0.0) for way, sizes in ways.items()
        }
        for way in best:
            if way != "plain loop" and best["plain loop"]:
                ratio = best[way] / best["plain loop"]
                rows.append(_goal(f"{stage}: {way} / plain loop", ratio, GOALS[stage]))
        shares = [one.flops / one.seconds / one.matmul_flops for one in ways["ours"].values()]
        rows.append(_goal(f"{stage}: ours / matrix rate", max(shares, default=0.0), GOAL_SHARE))
    return rows


def _goal(name: str, value: float, goal: float) -> dict[str, Any]:
    return {"": name, "ratio": round(value, 3), "goal": goal, "reached": "yes" if value >= goal else "no"}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", action="store_true", help="the full-size model on a GPU, against the plain loop")
    parser.add_argument("--model", help="svd with --gpu, wide without; or tiny")
    parser.add_argument("--device", default="cuda", help="of --gpu; cpu only tries the code")
    parser.add_argument("--stages", nargs="+", default=["stage1", "stage2"], choices=["stage1", "stage2"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32], help="windows a step of --gpu")
    parser.add_argument("--windows", type=int, default=2, help="a step without --gpu")
    parser.add_argument("--steps", type=int, default=5, help="that are timed in a row")
    parser.add_argument("--rounds", type=int, default=3, help="of all rows, without --gpu")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="of our runs with --gpu, instead of ours")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if not chosen.gpu:
        rows = by_setting(
            model=chosen.model or "wide", windows=chosen.windows, steps=chosen.steps, rounds=chosen.rounds
        )
        output.print_json(rows) if chosen.json else output.print_table(rows)
        return
    found = by_batch(
        model=chosen.model or "svd",
        device=chosen.device,
        stages=chosen.stages,
        batches=chosen.batches,
        steps=chosen.steps,
        settings=chosen.set or GPU_SETTINGS,
    )
    rows, goals = batch_rows(found), goal_rows(found)
    if chosen.json:
        output.print_json({"rows": rows, "goals": goals})
    else:
        output.print_table(rows)
        output.print_table(goals)
    sys.exit(any(goal["reached"] == "no" for goal in goals))


if __name__ == "__main__":
    main()
