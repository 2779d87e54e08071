"""The folder that `vptrain predict` writes enters; typed scores and clips leave, with the bytes of their pictures."""

import json
from dataclasses import dataclass
from pathlib import Path

from vptrain.config import SamplingConfig, from_dict
from vptrain.errors import VptrainError

PREDICTIONS_NAME = "predictions.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoScore:
    """PSNR in dB over the predicted frames but the first; the baseline repeats the first frame."""

    num_windows: int
    psnr: float
    baseline_psnr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionScore:
    """The root mean squared errors of one action dimension, in normalised units."""

    name: str
    error: float
    baseline_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionScore:
    """Root mean squared errors in normalised units, 2 being the whole range; the baseline is the mean action."""

    space: str
    num_windows: int
    error: float
    baseline_error: float
    dimensions: tuple[DimensionScore, ...]
    num_samples: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotCommands:
    """One window's predicted actions in the recorded robot's own space, (horizon, D), clipped to what it takes."""

    space: str
    names: tuple[str, ...]
    commands: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedActions:
    """One window's actions, (horizon, D) in the space's units; `mask` (horizon,) is false where none was recorded.

    `robot` is None where the predicted actions do not say all that the robot needs.
    """

    predicted: tuple[tuple[float, ...], ...]
    recorded: tuple[tuple[float, ...], ...]
    mask: tuple[bool, ...]
    names: tuple[str, ...]
    robot: RobotCommands | None

    def __post_init__(self) -> None:
        same_length = len(self.predicted) == len(self.recorded) == len(self.mask)
        if not same_length or any(len(row) != len(self.names) for row in (*self.predicted, *self.recorded)):
            raise ValueError("actions, mask and names differ in length")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedClip:
    """One held-out window; `video` and `strip` are file names in the predictions folder, mp4 and PNG."""

    source: str
    key: str
    start: int
    instruction: str
    cameras: tuple[str, ...]
    psnr: float
    baseline_psnr: float
    video: str
    strip: str
    actions: PredictedActions | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """All that `predictions.json` says; a score is None where nothing was to be scored."""

    checkpoint: str
    step: int
    sampling: SamplingConfig
    seed: int
    video: VideoScore | None
    actions: ActionScore | None
    clips: tuple[PredictedClip, ...]


def read_predictions(folder: Path) -> Predictions:
    """Reads and checks a predictions folder.

    Raises:
        VptrainError: `predictions.json` is missing or damaged, or names a picture that is not there.
    """
    path = folder / PREDICTIONS_NAME
    try:
        predictions = from_dict(Predictions, json.loads(path.read_text()))
    except FileNotFoundError:
        raise VptrainError(
            f"there are no predictions here (no {PREDICTIONS_NAME}).",
            path=folder,
            hint="Make them with `vptrain predict`.",
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise VptrainError(
            f"the predictions cannot be read ({error}).", path=path, hint="Make them again with `vptrain predict`."
        ) from error
    for clip in predictions.clips:
        for name in (clip.video, clip.strip):
            if not (folder / name).is_file():
                raise VptrainError(
                    f"{name} is missing.",
                    path=folder,
                    episode=clip.key,
                    hint="Make the predictions again with `vptrain predict`.",
                )
    return predictions
