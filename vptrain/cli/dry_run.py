"""`--dry-run` of `vptrain stage1`, `stage2` and `joint`: a plan enters; tables or JSON on stdout leave."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vpdata.cli import output
from vpdata.mixture.mixture import Mixture
from vpdata.pages.units import as_bytes, as_count
from vptrain.config import ModelConfig, RunConfig, to_dict
from vptrain.training.plan import Plan, make_plan
from vptrain.training.start import check_labelled


def show_plan(
    mixture_file: Path, *, model: ModelConfig, run: RunConfig, processes: int, allow_changed_data: bool, as_json: bool
) -> None:
    """Prints what a run will see, take, and leave on the disk."""
    mixture = Mixture.open(mixture_file, allow_changed=allow_changed_data)
    if run.stage != "stage1":
        check_labelled(mixture.labelled_only(), model)
    plan = make_plan(mixture, model=model, run=run, processes=processes)
    if as_json:
        output.print_json(_plain(plan))
        return
    output.print_table(_parts(plan), title="Parameters, M")
    output.print_table(_memory(plan), title="\nMemory of each device")
    output.print_table(_steps(plan), title="\nSteps")
    rows = [{"cameras": " + ".join(one.cameras), "share of windows": f"{one.share:.2%}"} for one in plan.layouts]
    output.print_table(rows, title="\nCamera layouts")
    output.print_table([asdict(component) for component in plan.components], title="\nMixture")


def _plain(plan: Plan) -> dict[str, Any]:
    values = asdict(plan) | {"run": to_dict(plan.run), "checkpoint_bytes": plan.checkpoint_bytes}
    values["footprint"]["total"] = plan.footprint.total
    return values


def _parts(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"part": part.name, "all": round(part.parameters / 1e6, 1), "trained": round(part.trained / 1e6, 1)}
        for part in plan.footprint.parts
    ]


def _memory(plan: Plan) -> list[dict[str, Any]]:
    run, found = plan.run, plan.footprint
    checkpointed = "computed again in the backward pass" if run.activation_checkpointing else "kept"
    exchange = "weights gathered from the others (FSDP2)" if run.sharding == "full" else "buckets for others (DDP)"
    sizes = {
        "weights": (found.weights, "all parts, float32"),
        "gradients": (found.gradients, "of what is trained, float32"),
        "optimizer": (found.optimizer, run.optimizer),
        "average": (found.average, "none" if run.ema_decay is None else f"decay {run.ema_decay}"),
        "exchange": (found.exchange, exchange if plan.processes > 1 else "one process"),
        "features": (found.features, f"of {run.reuse_block} batches" if run.stage == "stage2" else "stage 2 only"),
        "activations": (found.activations, f"{run.precision}, the UNet's {checkpointed}; measured without content"),
        "together": (found.total, "without what kernels and libraries take themselves"),
    }
    return [{"": name, "size": as_bytes(size), "of": note} for name, (size, note) in sizes.items()]


def _steps(plan: Plan) -> list[dict[str, Any]]:
    run = plan.run
    used = f"{run.reuse} steps each" if run.stage == "stage2" and run.reuse > 1 else "one step each"
    stored = f"{plan.num_checkpoints} x {as_bytes(plan.footprint.checkpoint)}, and one being written"
    rows = {
        run.stage: (as_count(run.steps), f"steps of {run.batch_size} windows, model {plan.model}"),
        "processes": (
            as_count(plan.processes),
            f"{plan.windows_a_process} windows each, at most {plan.windows_at_a_time} at a time",
        ),
        "windows": (as_count(plan.num_positions), used),
        "checkpoints": (as_bytes(plan.checkpoint_bytes), stored),
    }
    return [{"": name, "number": number, "of": note} for name, (number, note) in rows.items()]
