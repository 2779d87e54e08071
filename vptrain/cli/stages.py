"""`vptrain stage1` and `stage2`: train the video UNet on everything, then the action head on what is labelled."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vpdata.cli import output
from vptrain.checkpoint import Checkpoint
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.recipes.models import model_config
from vptrain.recipes.runs import run_config
from vptrain.training.start import default_device, resume, start_stage1, start_stage2
from vptrain.training.trainer import Progress, Trainer

STAGE1_EPILOG = """
Examples:

`vptrain stage1 --mixture manifests/demo.toml --out runs/video`

`vptrain stage1 --mixture manifests/demo.toml --out runs/video --resume`

`vptrain stage1 --mixture manifests/all.toml --out runs/svd --model svd --pretrained /models/svd-xt --device cuda`
"""
STAGE2_EPILOG = """
Examples:

`vptrain stage2 --mixture manifests/demo.toml --from runs/video --out runs/policy`

`vptrain stage2 --mixture manifests/demo.toml --from runs/video/checkpoints/step-00000600 --out runs/head`
"""

Mixture = Annotated[Path, typer.Option("--mixture", help="Mixture file, from `vpdata mix`.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimizer steps. Default: the model size's.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Windows a step.")]
LearningRate = Annotated[float | None, typer.Option("--lr", help="Learning rate.")]
Seed = Annotated[int, typer.Option(min=0, help="Of weights, noise and dropout; the data order has its own.")]
Workers = Annotated[int | None, typer.Option("--num-workers", min=0, help="Processes that load windows.")]
CheckpointEvery = Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1. Default: a GPU where there is one.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the run's latest checkpoint, exactly.")]
TextEncoder = Annotated[
    str | None, typer.Option(help="Folder or Hub repository of the CLIP text encoder (models other than tiny).")
]


def stage1(
    mixture: Mixture,
    out: Out,
    model: Annotated[str, typer.Option(help="Model size: tiny or svd.")] = "tiny",
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="Folder or Hub repository of Stable Video Diffusion, or `random`. Default: the model size's."
        ),
    ] = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    seed: Seed = 0,
    num_workers: Workers = None,
    checkpoint_every: CheckpointEvery = None,
    device: Device = None,
    text_encoder: TextEncoder = None,
    resume_run: Resume = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Train the video UNet on every window of a mixture, with and without actions."""
    device = device or default_device()
    if resume_run:
        trainer = resume(mixture, out, device=device, text_location=text_encoder)
    else:
        config = model_config(model)
        if pretrained is not None:
            config = replace(config, pretrained=pretrained)
        run = _overridden(run_config(config, "stage1"), steps, batch_size, lr, seed, num_workers, checkpoint_every)
        trainer = start_stage1(mixture, out, model=config, run=run, device=device, text_location=text_encoder)
    _train(trainer, as_json=as_json)


def stage2(
    mixture: Mixture,
    out: Out,
    from_run: Annotated[
        Path | None, typer.Option("--from", help="Stage-1 run or checkpoint whose video UNet to freeze and use.")
    ] = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    seed: Seed = 0,
    num_workers: Workers = None,
    checkpoint_every: CheckpointEvery = None,
    device: Device = None,
    text_encoder: TextEncoder = None,
    resume_run: Resume = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Freeze the video UNet and train the vision encoder and action head on the labelled windows of a mixture."""
    device = device or default_device()
    if resume_run:
        trainer = resume(mixture, out, device=device, text_location=text_encoder)
    else:
        if from_run is None:
            raise typer.BadParameter("name a stage-1 run or checkpoint (or --resume)", param_hint="--from")
        model = Checkpoint.open(from_run).model
        run = _overridden(run_config(model, "stage2"), steps, batch_size, lr, seed, num_workers, checkpoint_every)
        trainer = start_stage2(mixture, out, stage1=from_run, run=run, device=device, text_location=text_encoder)
    _train(trainer, as_json=as_json)


def _overridden(
    run: RunConfig,
    steps: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int,
    num_workers: int | None,
    checkpoint_every: int | None,
) -> RunConfig:
    given = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "num_workers": num_workers,
        "checkpoint_every": checkpoint_every,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(run, **changes)


def _train(trainer: Trainer, *, as_json: bool) -> None:
    stage, total = trainer.run.stage, trainer.run.steps
    if trainer.step >= total:
        raise VptrainError(f"this run is complete at step {trainer.step}.", path=trainer.folder)
    last: list[Progress] = []
    with output.progress_bar(stage, total - trainer.step) as advance:

        def report(progress: Progress) -> None:
            last[:] = [progress]
            advance()
            if progress.step % 100 == 0 or progress.step == total:
                output.say(
                    f"{stage} step {progress.step}/{total}  loss {progress.loss:.4f}  "
                    f"{progress.windows_per_second:.1f} windows/s  waiting for data {progress.data_wait_share:.0%}"
                )

        trainer.train(report)
    result = {
        "run": str(trainer.folder),
        "stage": stage,
        "steps": total,
        "loss": last[0].loss,
        "windows_per_second": last[0].windows_per_second,
    }
    output.print_json(result) if as_json else output.print_table([result])
