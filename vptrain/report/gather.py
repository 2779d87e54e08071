"""Folders and files of a run enter; `Findings`, all that the page says as typed numbers and names, leave."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpdata.mixture.mixture import Mixture
from vpdata.mixture.report import MixtureReport, describe
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import Skipped
from vptrain.checkpoint import Checkpoint
from vptrain.config import ModelConfig, RunConfig
from vptrain.errors import VptrainError
from vptrain.report.predictions import Predictions, read_predictions
from vptrain.training.metrics import read_metrics

MAX_POSITIONS = 10_000
"""Positions of the stream that are counted by component at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """A data set as its manifest and index describe it; `digest` is the hex SHA-256 of its manifest."""

    name: str
    source: str
    path: str
    digest: str
    num_episodes: int
    num_clips: int
    num_frames: int
    num_shards: int
    num_bytes: int
    cameras: tuple[str, ...]
    action_spaces: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """A loss after `step` steps."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A training run as its latest checkpoint and its log describe it.

    Attributes:
        path: the run's folder.
        step: steps done.
        num_windows: windows trained on, repeats counted.
        num_parameters, num_trainable: of the policy, and of the parts that this stage trains.
        training, held_out: losses in order of steps.
        by_sigma: the held-out losses at each noise level, the lowest first.
        seconds: of training, over all resumes.
        windows_per_second, data_wait_share: as the log's last line says.
    """

    path: str
    step: int
    num_windows: int
    model: ModelConfig
    run: RunConfig
    num_parameters: int
    num_trainable: int
    training: tuple[LossPoint, ...]
    held_out: tuple[LossPoint, ...]
    by_sigma: tuple[tuple[str, tuple[LossPoint, ...]], ...]
    seconds: float
    windows_per_second: float
    data_wait_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTime:
    """What one command took: wall time, and the peak of its process tree's memory (PSS)."""

    command: str
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that a report says; `predictions` is None and `commands` empty where the report was given none."""

    datasets: tuple[DatasetFacts, ...]
    mixture: MixtureReport
    runs: tuple[RunFacts, ...]
    predictions: Predictions | None
    predictions_folder: Path | None
    commands: tuple[CommandTime, ...]


def gather(
    *, mixture_file: Path, stage1: Path, stage2: Path | None, predictions_folder: Path | None, times_file: Path | None
) -> Findings:
    """Reads everything and checks that it belongs together.

    Raises:
        MixtureError, ShardError: the mixture or one of its data sets cannot be used.
        VptrainError: a run, the predictions or the times are missing, damaged, or of another mixture.
    """
    mixture = Mixture.open(mixture_file)
    runs = [_read_run(stage1, stage="stage1", mixture_file=mixture_file, digest=mixture.digest)]
    if stage2 is not None:
        digest = mixture.labelled_only().digest
        runs.append(_read_run(stage2, stage="stage2", mixture_file=mixture_file, digest=digest))
    return Findings(
        datasets=tuple(
            _describe(dataset, name=entry.name)
            for entry, dataset in zip(mixture.spec.sources, mixture.datasets, strict=True)
        ),
        mixture=describe(mixture, num_samples=min(runs[0].num_windows, MAX_POSITIONS)),
        runs=tuple(runs),
        predictions=None if predictions_folder is None else read_predictions(predictions_folder),
        predictions_folder=predictions_folder,
        commands=() if times_file is None else _read_times(times_file),
    )


def _describe(dataset: Dataset, *, name: str) -> DatasetFacts:
    manifest, episodes = dataset.manifest, [clip.episode for clip in dataset.clips]
    cameras = (f"{camera.name} {camera.height}×{camera.width}" for episode in episodes for camera in episode.cameras)
    return DatasetFacts(
        name=name,
        source=manifest.source,
        path=str(dataset.path),
        digest=dataset.digest,
        num_episodes=manifest.num_episodes,
        num_clips=manifest.num_clips,
        num_frames=manifest.num_frames,
        num_shards=len(manifest.shards),
        num_bytes=sum(shard.size for shard in manifest.shards),
        cameras=tuple(dict.fromkeys(cameras)),
        action_spaces=tuple(dict.fromkeys(episode.action_space for episode in episodes if episode.action_space)),
        skipped=manifest.skipped,
    )


def _read_run(folder: Path, *, stage: str, mixture_file: Path, digest: str) -> RunFacts:
    checkpoint = Checkpoint.open(folder)
    if checkpoint.run.stage != stage:
        raise VptrainError(
            f"this is a run of {checkpoint.run.stage}, not of {stage}.",
            path=folder,
            hint="--stage1 and --stage2 take runs of `vptrain stage1` and `vptrain stage2`.",
        )
    if checkpoint.data.digest != digest:
        raise VptrainError(
            f"the run was trained on another mixture ({checkpoint.data.mixture}) than {mixture_file}.",
            path=folder,
            hint="Give the mixture that the run was trained on as --mixture.",
        )
    try:
        described = json.loads((folder / "run.json").read_text())
        lines = [line for line in read_metrics(folder / "metrics.jsonl") if line["step"] <= checkpoint.step]
        training = [line for line in lines if "loss" in line]
        last = training[-1]
        return RunFacts(
            path=str(folder),
            step=checkpoint.step,
            num_windows=checkpoint.data.position,
            model=checkpoint.model,
            run=checkpoint.run,
            num_parameters=described["parameters"],
            num_trainable=described["trainable_parameters"],
            training=_points(training, "loss"),
            held_out=_points([line for line in lines if "held_out_loss" in line], "held_out_loss"),
            by_sigma=_by_sigma([line for line in lines if "held_out_loss_by_sigma" in line]),
            seconds=last["seconds"],
            windows_per_second=last["windows_per_second"],
            data_wait_share=last["data_wait_share"],
        )
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise VptrainError(
            f"the run's run.json or metrics.jsonl cannot be used ({type(error).__name__}: {error}).",
            path=folder,
            hint="Name the folder of a run, as given to `vptrain` as --out, not one of its checkpoints.",
        ) from error


def _points(lines: Sequence[dict[str, float]], name: str) -> tuple[LossPoint, ...]:
    return tuple(LossPoint(step=int(line["step"]), loss=line[name]) for line in lines)


def _by_sigma(lines: Sequence[dict[str, Any]]) -> tuple[tuple[str, tuple[LossPoint, ...]], ...]:
    levels = lines[0]["held_out_loss_by_sigma"] if lines else {}
    return tuple(
        (level, tuple(LossPoint(step=line["step"], loss=line["held_out_loss_by_sigma"][level]) for line in lines))
        for level in levels
    )


def _read_times(path: Path) -> tuple[CommandTime, ...]:
    try:
        entries = json.loads(path.read_text())
        if not isinstance(entries, list):
            raise TypeError("not a list")
        return tuple(CommandTime(**entry) for entry in entries)
    except (FileNotFoundError, IsADirectoryError):
        raise VptrainError("there is no such file of times.", path=path) from None
    except (ValueError, TypeError) as error:
        raise VptrainError(
            f"the times cannot be read ({error}).",
            path=path,
            hint="It should be a list of command, seconds and peak_memory_bytes, as the demo writes it.",
        ) from error
