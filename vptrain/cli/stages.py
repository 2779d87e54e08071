"""`vptrain stage1`, `stage2` and `joint`: train the video UNet, the action head on its features, or both at once."""

import signal
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vpdata.cli import output
from vptrain.checkpoint import Checkpoint
from vptrain.cli.base import Base, ConfigFile, DryRun, Processes, RecipeName
from vptrain.cli.check_video import before_stage2
from vptrain.cli.dry_run import show_plan
from vptrain.cli.options import Device, TextEncoder
from vptrain.config import ModelConfig, RunConfig, StageName, overridden
from vptrain.device import usable_device
from vptrain.errors import VptrainError
from vptrain.training.start import resume, start_joint, start_stage1, start_stage2
from vptrain.training.stop import stop_signals
from vptrain.training.trainer import Progress, Trainer

STAGE1_EPILOG = """
Examples:

`vptrain stage1 --mixture manifests/demo.toml --out runs/video`

`vptrain stage1 --mixture manifests/demo.toml --out runs/video --resume`

`vptrain stage1 --mixture manifests/demo.toml --out runs/fast --latents latents/demo`

`vptrain stage1 --mixture manifests/all.toml --out runs/svd --model svd --pretrained /models/svd-xt --device cuda`

`vptrain stage1 --recipe robocasa24 --mixture robocasa24.toml --out runs/video --dry-run --processes 8`

`vptrain stage1 --config runs/video --mixture robocasa24.toml --out runs/again`
"""
STAGE2_EPILOG = """
Examples:

`vptrain stage2 --mixture manifests/demo.toml --from runs/video --out runs/policy`

`vptrain stage2 --mixture manifests/demo.toml --from hf://user/drawer-video@v1.0 --out runs/policy`

`vptrain stage2 --mixture manifests/demo.toml --from runs/video --out runs/fast --set high_log_sigma_mean=4`

`vptrain stage2 --recipe robocasa24 --mixture robocasa24.toml --from runs/video --out runs/policy`
"""
JOINT_EPILOG = """
Examples:

`vptrain joint --mixture manifests/demo.toml --from runs/video --out runs/joint`

`vptrain joint --mixture manifests/demo.toml --out runs/joint --set gradient_stop=reference`
"""

Mixture = Annotated[Path, typer.Option("--mixture", help="Mixture file, from `vpdata mix`.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
ModelSize = Annotated[str | None, typer.Option("--model", help="Model size: tiny (the default) or svd.")]
Pretrained = Annotated[
    str | None,
    typer.Option(help="Stable Video Diffusion: a folder, Hub repository or svd_xt.safetensors; or `random`."),
]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option("--set-model", metavar="NAME=VALUE", help="A field of the model's, such as cameras=wrist,left."),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimizer steps. Default: the model size's.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Windows a step.")]
LearningRate = Annotated[float | None, typer.Option("--lr", help="Learning rate.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of noise, dropout and new weights; default 0.")]
Workers = Annotated[int | None, typer.Option("--num-workers", min=0, help="Processes that load windows.")]
CheckpointEvery = Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")]
Latents = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Train on these latents, from `vptrain latents`, in place of pictures."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any field of the run's configuration, such as drop=frame."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the run's latest checkpoint, exactly.")]
AllowChangedData = Annotated[
    bool,
    typer.Option("--allow-changed-data", help="Take the data sets as they are, and --resume on another mixture."),
]


def stage1(
    mixture: Mixture,
    out: Out,
    recipe: RecipeName = None,
    config: ConfigFile = None,
    model: ModelSize = None,
    pretrained: Pretrained = None,
    set_model: ModelSettings = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    seed: Seed = None,
    num_workers: Workers = None,
    checkpoint_every: CheckpointEvery = None,
    latents: Latents = None,
    settings: Settings = None,
    device: Device = None,
    text_encoder: TextEncoder = None,
    resume_run: Resume = False,
    allow_changed_data: AllowChangedData = False,
    dry_run: DryRun = False,
    processes: Processes = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Train the video UNet on every window of a mixture, with and without actions."""
    options = _Options(steps, batch_size, lr, seed, num_workers, checkpoint_every, latents, settings)
    place = _Place(mixture, out, device or usable_device(), text_encoder, allow_changed_data)
    if resume_run:
        of_new = _of_new(recipe, config, dry_run, processes)
        trainer = place.resume("stage1", options, model=model, pretrained=pretrained, set_model=set_model, **of_new)
    else:
        base = Base.chosen("stage1", recipe=recipe, config=config)
        sized = base.model_with(model, pretrained, set_model)
        run = options.over(base.run_of(sized))
        if _planned(place, sized, run, dry_run=dry_run, processes=processes, as_json=as_json):
            return
        trainer = start_stage1(mixture, out, model=sized, run=run, **place.where())
    _train(trainer, as_json=as_json)


def stage2(
    mixture: Mixture,
    out: Out,
    from_run: Annotated[
        Path | None, typer.Option("--from", help="Stage-1 run, checkpoint or hf://USER/NAME whose UNet to freeze.")
    ] = None,
    require_check: Annotated[
        bool, typer.Option("--require-check", help="Refuse a video that has not passed `vptrain check-video`.")
    ] = False,
    recipe: RecipeName = None,
    config: ConfigFile = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    seed: Seed = None,
    num_workers: Workers = None,
    checkpoint_every: CheckpointEvery = None,
    latents: Latents = None,
    settings: Settings = None,
    device: Device = None,
    text_encoder: TextEncoder = None,
    resume_run: Resume = False,
    allow_changed_data: AllowChangedData = False,
    dry_run: DryRun = False,
    processes: Processes = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Freeze the video UNet and train the vision encoder and action head on the labelled windows of a mixture."""
    options = _Options(steps, batch_size, lr, seed, num_workers, checkpoint_every, latents, settings)
    place = _Place(mixture, out, device or usable_device(), text_encoder, allow_changed_data)
    if resume_run:
        trainer = place.resume("stage2", options, from_=from_run, **_of_new(recipe, config, dry_run, processes))
    else:
        base = Base.chosen("stage2", recipe=recipe, config=config)
        sized = _frozen_model(base, from_run, dry_run=dry_run)
        run = options.over(base.run_of(sized))
        if _planned(place, sized, run, dry_run=dry_run, processes=processes, as_json=as_json):
            return
        assert from_run is not None  # without one it was only planned
        before_stage2(from_run, required=require_check)
        trainer = start_stage2(mixture, out, stage1=from_run, run=run, **place.where())
    _train(trainer, as_json=as_json)


def joint(
    mixture: Mixture,
    out: Out,
    from_run: Annotated[
        Path | None,
        typer.Option("--from", help="Stage-1 run, checkpoint or hf://USER/NAME. Default: pretrained weights."),
    ] = None,
    recipe: RecipeName = None,
    config: ConfigFile = None,
    model: ModelSize = None,
    pretrained: Pretrained = None,
    set_model: ModelSettings = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    seed: Seed = None,
    num_workers: Workers = None,
    checkpoint_every: CheckpointEvery = None,
    latents: Latents = None,
    settings: Settings = None,
    device: Device = None,
    text_encoder: TextEncoder = None,
    resume_run: Resume = False,
    allow_changed_data: AllowChangedData = False,
    dry_run: DryRun = False,
    processes: Processes = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Train video UNet, vision encoder and action head together on the labelled windows of a mixture.

    Action gradients stop at the UNet's features, as in the paper; `--set gradient_stop=reference` lets them through.
    """
    options = _Options(steps, batch_size, lr, seed, num_workers, checkpoint_every, latents, settings)
    place = _Place(mixture, out, device or usable_device(), text_encoder, allow_changed_data)
    of_model = {"model": model, "pretrained": pretrained, "set_model": set_model}
    if resume_run:
        of_new = _of_new(recipe, config, dry_run, processes)
        trainer = place.resume("joint", options, from_=from_run, **of_model, **of_new)
    else:
        base = Base.chosen("joint", recipe=recipe, config=config)
        if from_run is None:
            sized = base.model_with(model, pretrained, set_model)
        else:
            refuse(of_model, "the run named by --from has its own; leave the option out")
            sized = _opened(from_run, check=not dry_run).model
        run = options.over(base.run_of(sized))
        if _planned(place, sized, run, dry_run=dry_run, processes=processes, as_json=as_json):
            return
        trainer = start_joint(mixture, out, start=from_run or sized, run=run, **place.where())
    _train(trainer, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Options:
    """What the user set of the run's configuration."""

    steps: int | None
    batch_size: int | None
    learning_rate: float | None
    seed: int | None
    num_workers: int | None
    checkpoint_every: int | None
    latents: str | None
    settings: list[str] | None

    def over(self, run: RunConfig) -> RunConfig:
        """A configuration with the options."""
        values = {name: value for name, value in asdict(self).items() if name != "settings" and value is not None}
        changed = overridden(replace(run, **values), self.settings or ())
        if changed.stage != run.stage:
            raise VptrainError(
                f"--set does not make {run.stage} another stage.", hint=f"Begin it with `vptrain {changed.stage}`."
            )
        return changed


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a run reads and writes."""

    mixture: Path
    out: Path
    device: str
    text_encoder: str | None
    allow_changed_data: bool

    def where(self) -> dict[str, Any]:
        """Arguments that all ways to start share."""
        return {
            "device": self.device,
            "text_location": self.text_encoder,
            "allow_changed_data": self.allow_changed_data,
        }

    def resume(self, stage: StageName, options: _Options, **others: object) -> Trainer:
        """A resumed run keeps its configuration, but for fields that change no weight."""
        refuse(others, "a resumed run keeps its own; leave the option out")
        changes = [
            f"{name}={value}" for name, value in asdict(options).items() if name != "settings" and value is not None
        ]
        return resume(
            self.mixture, self.out, stage=stage, changes=[*changes, *(options.settings or ())], **self.where()
        )


def refuse(options: Mapping[str, object], reason: str) -> None:
    """Ends the command where one of these options, by the name of its parameter, was given."""
    spelled = {"learning_rate": "lr", "settings": "set"}
    for name, value in options.items():
        if value is not None:
            option = spelled.get(name, name).strip("_").replace("_", "-")
            raise typer.BadParameter(reason, param_hint=f"--{option}")


def _of_new(recipe: str | None, config: Path | None, dry_run: bool, processes: int | None) -> dict[str, object]:
    """Options that a resumed run does not take, None where they were not given."""
    return {"recipe": recipe, "config": config, "dry_run": dry_run or None, "processes": processes}


def _planned(
    place: _Place, model: ModelConfig, run: RunConfig, *, dry_run: bool, processes: int | None, as_json: bool
) -> bool:
    """Whether the run was to be planned only, which is then done."""
    if not dry_run:
        refuse({"processes": processes}, "say it with --dry-run; of a run, torchrun decides")
        return False
    show_plan(
        place.mixture,
        model=model,
        run=run,
        processes=processes or 1,
        allow_changed_data=place.allow_changed_data,
        as_json=as_json,
    )
    return True


def _frozen_model(base: Base, from_run: Path | None, *, dry_run: bool) -> ModelConfig:
    """The model whose video UNet stage 2 freezes; of a recipe or another run where there is none yet to begin with."""
    if from_run is not None:
        return _opened(from_run, check=not dry_run).model
    if base.model is None or not dry_run:
        raise typer.BadParameter("name a stage-1 run or checkpoint (or --resume)", param_hint="--from")
    return base.model


def _opened(run: Path, *, check: bool) -> Checkpoint:
    """The checkpoint to begin with; says so where more of it than the video UNet is trained."""
    checkpoint = Checkpoint.open(run, check=check)
    if checkpoint.run.stage != "stage1":
        output.say(
            f"{checkpoint.place} is of {checkpoint.run.stage}: its vision encoder and action head are trained further."
        )
    return checkpoint


def _train(trainer: Trainer, *, as_json: bool) -> None:
    stage, total = trainer.run.stage, trainer.run.steps
    if trainer.step >= total:
        raise VptrainError(f"this run is complete at step {trainer.step}.", path=trainer.folder)
    last: list[Progress] = []
    shown = trainer.engine.is_main
    with output.progress_bar(stage, total - trainer.step) if shown else nullcontext(_nothing) as advance:

        def report(progress: Progress) -> None:
            last[:] = [progress]
            advance(note=f"loss {progress.loss:.3g}  data {progress.data_wait_share:.0%}  {progress.memory_gb:.1f} GB")
            if shown and (progress.step % 100 == 0 or progress.step == total):
                output.say(
                    f"{stage} step {progress.step}/{total}  loss {progress.loss:.4f}  "
                    f"{progress.windows_per_second:.1f} windows/s  waiting for data {progress.data_wait_share:.0%}  "
                    f"corrupt windows {progress.num_corrupt}"
                )

        with stop_signals() as stop:
            is_complete = trainer.train(report, asked_to_stop=stop.asked, say=output.say if shown else _unsaid)
    trainer.engine.end()
    if shown:
        _print(trainer, last[0], is_complete=is_complete, as_json=as_json)
    if stop.signal is signal.SIGINT:
        raise typer.Exit(130)


def _nothing(count: int = 1, note: str = "") -> None:
    """Shows no progress."""


def _unsaid(_: str) -> None:
    """The main process says it."""


def _print(trainer: Trainer, last: Progress, *, is_complete: bool, as_json: bool) -> None:
    if not is_complete:
        output.say(f"stopped after step {trainer.step} as asked; the same command with --resume goes on from there.")
    result = {
        "run": str(trainer.folder),
        "stage": trainer.run.stage,
        "steps": trainer.step,
        "complete": is_complete,
        "loss": last.loss,
        "windows_per_second": last.windows_per_second,
    }
    output.print_json(result) if as_json else output.print_table([result])
