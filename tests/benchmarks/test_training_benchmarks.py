"""The benchmark of training runs, at its smallest; its figures are of no interest here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.model import training
from benchmarks.model.training_process import Job, Measured, count_flops, measure
from vptrain.recipes.models import TINY
from vptrain.recipes.runs import run_config

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("way", "stage", "latents", "settings"),
    [
        ("ours", "stage1", False, ("activation_checkpointing=true",)),
        ("plain", "stage1", False, ()),
    ],
)
def test_a_row(way: str, stage: str, latents: bool, settings: tuple[str, ...]) -> None:
    job = Job(way=way, stage=stage, model="tiny", windows=1, settings=settings, latents=latents, steps=1)
    measured = measure(job)
    assert measured.fits
    assert measured.seconds > 0
    assert measured.flops > 0
    assert measured.matmul_flops > 0
    assert measured.images == len(TINY.cameras) * TINY.num_frames
    assert (measured.estimated_bytes > 0) is (way == "ours")


def test_flops_are_of_what_is_computed_once() -> None:
    run = run_config(TINY, "stage1")
    one = count_flops(TINY, run, windows=1, latents=True)
    assert count_flops(TINY, run, windows=2, latents=True) == 2 * one
    assert count_flops(TINY, run_config(TINY, "stage2"), windows=1, latents=True) < one


@pytest.mark.slow
def test_the_gpu_mode_runs_through_on_a_cpu() -> None:
    command = [sys.executable, "-m", "benchmarks.model.training", "--gpu", "--device", "cpu", "--model", "tiny"]
    options = ["--batches", "1", "--steps", "1", "--stages", "stage2", "--set", "precision=bf16", "--json"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert [row["way"] for row in found["rows"]] == list(training.GPU_WAYS)
    assert [goal["goal"] for goal in found["goals"]] == [4.0, 4.0, 0.45]


def test_ratios_and_goals() -> None:
    slow = Measured(seconds=2.0, images=4, flops=100, matmul_flops=100.0, peak_bytes=1)
    fast = Measured(seconds=1.0, images=10, flops=50, matmul_flops=100.0, peak_bytes=1)
    found = {"stage1": {"plain loop": {1: slow}, "ours": {1: slow, 2: fast}, "ours, cached latents": {}}}
    rows = training.goal_rows(found)
    assert [(row["ratio"], row["reached"]) for row in rows] == [(5.0, "yes"), (0.0, "no"), (0.5, "yes")]
