"""Sets a run up, new or resumed: a mixture file and configurations in, a `Trainer` out."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from vpdata.mixture.mixture import Mixture
from vptrain.checkpoint import Checkpoint, training_policy
from vptrain.config import ModelConfig, RunConfig, overridden
from vptrain.config.run import RESUMABLE
from vptrain.errors import VptrainError
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import load_text_encoder
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.windows import convertible
from vptrain.training.engine import Engine
from vptrain.training.learner import Restored
from vptrain.training.trainer import Trainer


def start_stage1(
    mixture_file: Path,
    folder: Path,
    *,
    model: ModelConfig,
    run: RunConfig,
    device: str,
    text_location: str | None = None,
    allow_changed_data: bool = False,
) -> Trainer:
    """A new stage-1 run; `allow_changed_data` takes data sets whose digests are not those in the mixture file.

    Raises:
        VptrainError: the folder holds a run, or the pretrained weights cannot be loaded.
        MixtureError: the mixture cannot be opened.
    """
    engine = Engine.start(run, device=device)
    _refuse_existing(folder)
    mixture = Mixture.open(mixture_file, allow_changed=allow_changed_data)
    return Trainer(
        folder=folder,
        run=run,
        engine=engine,
        policy=training_policy(initial_policy(model, seed=run.seed), run).to(engine.device),
        text=load_text_encoder(model.text, location=text_location),
        mixture=mixture,
        mixture_file=str(mixture_file),
        normalizer=ActionNormalizer.fit(mixture.training_clips(), space=model.action_space),
    )


def start_stage2(
    mixture_file: Path,
    folder: Path,
    *,
    stage1: Path | str,
    run: RunConfig,
    device: str,
    text_location: str | None = None,
    allow_changed_data: bool = False,
) -> Trainer:
    """A new stage-2 run on the video UNet of a stage-1 run or checkpoint (or its URL on the Hub).

    `allow_changed_data` as for stage 1.

    Raises:
        VptrainError: the folder holds a run, there is no such checkpoint, or a labelled source's actions do not
            convert to the model's action space.
        MixtureError: the mixture cannot be opened, or has no labelled windows.
    """
    engine = Engine.start(run, device=device)
    _refuse_existing(folder)
    checkpoint = Checkpoint.open(stage1)
    mixture = Mixture.open(mixture_file, allow_changed=allow_changed_data).labelled_only()
    check_labelled(mixture, checkpoint.model)
    return Trainer(
        folder=folder,
        run=run,
        engine=engine,
        policy=checkpoint.load_policy().to(engine.device),
        text=load_text_encoder(checkpoint.model.text, location=text_location),
        mixture=mixture,
        mixture_file=str(mixture_file),
        normalizer=ActionNormalizer.fit(mixture.training_clips(), space=checkpoint.model.action_space),
        before=checkpoint.history,
    )


def start_joint(
    mixture_file: Path,
    folder: Path,
    *,
    start: ModelConfig | Path | str,
    run: RunConfig,
    device: str,
    text_location: str | None = None,
    allow_changed_data: bool = False,
) -> Trainer:
    """A new joint run.

    Args:
        start: the model whose pretrained weights to begin with, or a stage-1 run or checkpoint (or its URL on the Hub).
        allow_changed_data: as for stage 1.

    Raises:
        VptrainError, MixtureError: as `start_stage1` and `start_stage2`.
    """
    engine = Engine.start(run, device=device)
    _refuse_existing(folder)
    mixture = Mixture.open(mixture_file, allow_changed=allow_changed_data).labelled_only()
    checkpoint: Checkpoint | None = None
    if isinstance(start, ModelConfig):
        model = start
    else:
        checkpoint = Checkpoint.open(start)
        model = checkpoint.model
    check_labelled(mixture, model)
    policy = initial_policy(model, seed=run.seed) if checkpoint is None else checkpoint.load_policy()
    return Trainer(
        folder=folder,
        run=run,
        engine=engine,
        policy=policy.to(engine.device),
        text=load_text_encoder(model.text, location=text_location),
        mixture=mixture,
        mixture_file=str(mixture_file),
        normalizer=ActionNormalizer.fit(mixture.training_clips(), space=model.action_space),
        before=() if checkpoint is None else checkpoint.history,
    )


def resume(
    mixture_file: Path,
    folder: Path,
    *,
    stage: str,
    device: str,
    text_location: str | None = None,
    changes: Sequence[str] = (),
    allow_changed_data: bool = False,
) -> Trainer:
    """A run as its latest checkpoint left it: weights, optimizer and data position.

    Args:
        stage: what the run must be.
        changes: `name=value` assignments to fields of the run's configuration that change no weight.
        allow_changed_data: go on at the same position of another mixture, or of one whose data sets have changed; the
            run's action statistics stay.

    Raises:
        VptrainError: there is no checkpoint, it is of another stage, the mixture is not the one that the run was
            trained on, or its actions do not convert to the model's, or a change would change what is trained.
        MixtureError: the mixture cannot be opened.
    """
    checkpoint = Checkpoint.open(folder)
    if checkpoint.run.stage != stage:
        raise VptrainError(
            f"this is a run of {checkpoint.run.stage}, not of {stage}.",
            path=folder,
            hint=f"Go on with `vptrain {checkpoint.run.stage} --resume`.",
        )
    run = _changed(checkpoint.run, changes)
    engine = Engine.start(run, device=device)
    mixture = Mixture.open(mixture_file, allow_changed=allow_changed_data)
    if checkpoint.run.stage != "stage1":
        mixture = mixture.labelled_only()
    if mixture.digest != checkpoint.data.digest:
        if not allow_changed_data:
            raise VptrainError(
                f"the mixture is another one than this run was trained on ({mixture.digest[:12]}… where the checkpoint "
                f"says {checkpoint.data.digest[:12]}…).",
                path=mixture_file,
                hint="Restore the mixture file and its data sets, begin a new run in another folder, or go on with "
                "these data by --allow-changed-data.",
            )
        if checkpoint.run.stage != "stage1":
            check_labelled(mixture, checkpoint.model)
    trainer = Trainer(
        folder=folder,
        run=run,
        engine=engine,
        policy=checkpoint.load_training_policy().to(engine.device),
        text=load_text_encoder(checkpoint.model.text, location=text_location),
        mixture=mixture,
        mixture_file=str(mixture_file),
        normalizer=checkpoint.normalizer,
        restored=Restored(
            step=checkpoint.step, average=checkpoint.load_average(), optimizer=checkpoint.optimizer_state()
        ),
        step=checkpoint.step,
        before=checkpoint.before,
    )
    if not allow_changed_data:
        _check_latents(trainer, checkpoint)
    return trainer


def _check_latents(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Makes sure that a run goes on with the very latents that it began with, wherever they lie now; or with none."""
    found = None if trainer.latents is None else trainer.latents.digest
    if found != checkpoint.data.latents:
        had, has = (
            "pictures" if digest is None else f"latents {digest[:12]}…" for digest in (checkpoint.data.latents, found)
        )
        raise VptrainError(
            f"this run was trained on {had}, and would go on with {has}.",
            path=trainer.folder,
            hint="Say where its latents lie with --latents DIR (`--set latents=none` for pictures), begin a new run in "
            "another folder, or go on with these data by --allow-changed-data.",
        )


def _changed(run: RunConfig, changes: Sequence[str]) -> RunConfig:
    changed = overridden(run, changes)
    fixed = [field.name for field in fields(run) if getattr(run, field.name) != getattr(changed, field.name)]
    refused = [name for name in fixed if name not in RESUMABLE]
    if refused:
        raise VptrainError(
            f"a resumed run keeps its {', '.join(refused)}.",
            hint=f"What it may change: {', '.join(sorted(RESUMABLE))}. For another value begin a new run.",
        )
    return changed


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise VptrainError("this is not a folder.", path=folder, hint="Choose another --out.")
    if (folder / "checkpoints" / "latest").exists():
        raise VptrainError(
            "there is a run in this folder.", path=folder, hint="Go on with --resume, or choose another --out."
        )
    if (folder / "run.json").exists():
        raise VptrainError(
            "a run in this folder ended before its first checkpoint, or has not reached it.",
            path=folder,
            hint="Remove the folder if nothing writes to it any more, or choose another --out.",
        )


def check_labelled(mixture: Mixture, model: ModelConfig) -> None:
    """Makes sure that the model can predict the actions of all labelled clips, from a camera that it knows.

    Raises:
        VptrainError: of one it cannot.
    """
    for placed in mixture.training_clips():
        if not {camera.name for camera in placed.clip.episode.cameras} & set(model.cameras):
            raise VptrainError(
                f"source {placed.source} has none of the model's cameras {', '.join(model.cameras)}.",
                path=placed.dataset.path,
                episode=placed.clip.key,
                hint=f"Ingest it with `--camera {model.cameras[0]}=NAME`, or `--withhold {placed.source}`.",
            )
        if not convertible(placed, model):
            raise VptrainError(
                f"source {placed.source} has actions in {placed.clip.episode.action_space}, which do not convert to "
                f"{model.action_space}, what the model predicts.",
                path=placed.dataset.path,
                hint=f"Make the mixture again with `--withhold {placed.source}`: its video still trains stage 1.",
            )
