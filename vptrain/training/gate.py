"""Whether a video model is good enough to train actions on: a checkpoint and held-out clips in, a verdict out.

An action head sees the scene through the video model's features; where the video does not move as the recording does,
the actions will not either. So the verdict asks two things: is the scene there, and does it change as recorded?
Both leave out what a plain PSNR rewards: a still or blurred picture, which is near to every frame and moves like none.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vpdata.mixture.mixture import Mixture
from vpdata.shards.files import full_disk_as_error, write_whole
from vptrain.checkpoint import Checkpoint
from vptrain.errors import VptrainError
from vptrain.models.text import load_text_encoder
from vptrain.rollout.evaluate import WindowPrediction, predict_windows
from vptrain.rollout.render import strips
from vptrain.rollout.windows import convertible, spread_windows
from vptrain.training.quality import Quality, Scores

RESULT, SHEET = "check-video.json", "check-video.png"
MIN_CHANGE = 2.0
MIN_GAIN_DB = 1.0
MIN_FIRST_PSNR = 20.0
NUM_PICTURED = 4
PEAK = 255.0
MAX_PSNR = 99.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How well videos change over time. A frame's change is its difference from its own video's first frame.

    What is wrong from the first frame on, such as the autoencoder's errors, is in no change.

    Attributes:
        change: root mean square of the recorded change, in grey levels.
        gain_db: how far the predicted change is from the recorded one, as PSNR above that of no change at all: 1 dB is
            a fifth of the recorded change's energy explained, below 0 it would be better to stand still. None where
            nothing changes.
        first_psnr: of the predicted first frame, which the model was shown, in dB, at most 99.
    """

    change: float
    gain_db: float | None
    first_psnr: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> "Motion":
        """Over all pixels of (predicted, recorded) videos, uint8 (F, H, W, 3) each, of at least two frames."""
        wrong, recorded_change, count, first, num_first = 0.0, 0.0, 0, 0.0, 0
        for pair in pairs:
            predicted, recorded = (frames.astype(np.float64) for frames in pair)
            change = recorded[1:] - recorded[0]
            wrong += np.square(predicted[1:] - predicted[0] - change).sum()
            recorded_change += np.square(change).sum()
            count += change.size
            first += np.square(predicted[0] - recorded[0]).sum()
            num_first += recorded[0].size
        rms = float(np.sqrt(recorded_change / count))
        gain = None if rms < MIN_CHANGE else _psnr(wrong, count) - _psnr(recorded_change, count)
        return cls(change=rms, gain_db=gain, first_psnr=_psnr(first, num_first))


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraScore:
    """One camera of one source; the baseline repeats the first recorded frame."""

    source: str
    camera: str
    num_windows: int
    motion: Motion
    scores: Scores
    baseline: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoCheck:
    """The verdict.

    Attributes:
        checkpoint, step: what was checked.
        passed: whether `motion` reaches both thresholds.
        judged: what the verdict is about: the clips that stage 2 can train on, or all where it has none.
        motion: over all cameras of these.
        cameras: of every source, judged or not.
        not_computed: scores that could not be computed, and why.
    """

    checkpoint: str
    step: int
    passed: bool
    judged: str
    num_windows: int
    min_gain_db: float
    min_first_psnr: float
    motion: Motion
    cameras: tuple[CameraScore, ...]
    not_computed: tuple[str, ...]


def check_video(
    checkpoint: Checkpoint,
    mixture: Mixture,
    *,
    quality: Quality,
    num_windows: int,
    seed: int,
    device: str,
    report: Callable[[int], None],
    min_gain_db: float = MIN_GAIN_DB,
    min_first_psnr: float = MIN_FIRST_PSNR,
    text_location: str | None = None,
) -> VideoCheck:
    """Predicts held-out windows, and writes RUN/check-video.json and RUN/check-video.png.

    The picture shows some windows from the worst to the best, of each camera the recorded frames and below them the
    predicted.

    Args:
        quality: what scores.
        num_windows: at most how many, spread evenly.
        seed: of the sampler's noise.
        device: to run on.
        report: called with the number of windows predicted since the last call.
        min_gain_db, min_first_psnr: what passes, see `Motion`.
        text_location: folder or Hub repository of the text encoder, for models that have one.

    Raises:
        VptrainError: nothing is held out, or nothing moves in what is.
        VpdataError: the run's folder cannot be written.
    """
    clips = mixture.held_out_clips()
    usable = [placed for placed in clips if convertible(placed, checkpoint.model)]
    labelled = {(placed.source, placed.clip.key) for placed in usable}
    windows = spread_windows([placed._replace(labelled=False) for placed in clips], checkpoint.model, count=num_windows)
    windows = [window for window in windows if window.frame_mask[1:].any()]
    if not windows:
        raise VptrainError(
            "no held-out clip is long enough to predict.", hint="Make the mixture with `vpdata mix --holdout 0.1`."
        )
    policy = checkpoint.load_policy().to(device).eval()
    predictions = []
    for prediction in predict_windows(
        policy,
        windows,
        text=load_text_encoder(checkpoint.model.text, location=text_location),
        sampling=checkpoint.model.sampling,
        seed=seed,
        normalizer=None,
        with_video=True,
    ):
        predictions.append(prediction)
        report(1)
    judged = [p for p in predictions if (p.window.source, p.window.key) in labelled]
    motion = Motion.of([pair for p in judged or predictions for pair in _pairs(p).values()])
    if motion.gain_db is None:
        raise VptrainError(
            "nothing moves in the held-out windows, so that their video cannot be judged.",
            hint="Hold other episodes out: `vpdata mix --holdout`.",
        )
    check = VideoCheck(
        checkpoint=str(checkpoint.path),
        step=checkpoint.step,
        passed=motion.gain_db >= min_gain_db and motion.first_psnr >= min_first_psnr,
        judged="held-out clips with actions" if judged else "all held-out clips",
        num_windows=len(judged or predictions),
        min_gain_db=min_gain_db,
        min_first_psnr=min_first_psnr,
        motion=motion,
        cameras=tuple(_camera_scores(predictions, quality)),
        not_computed=tuple(quality.missing),
    )
    folder = run_folder(checkpoint)
    with full_disk_as_error(folder):
        _write_sheet(judged or predictions, folder / SHEET)
        write_whole(folder / RESULT, (json.dumps(asdict(check), indent=2) + "\n").encode())
    return check


def complaint(checkpoint: Checkpoint) -> str | None:
    """What speaks against training actions on this checkpoint's video; None where its check has passed."""
    try:
        found: dict[str, Any] = json.loads((run_folder(checkpoint) / RESULT).read_text())
    except FileNotFoundError:
        return "its video has not been checked"
    except ValueError:
        return f"its {RESULT} is damaged"
    if found["step"] != checkpoint.step:
        return f"its video was checked at step {found['step']}, and this is step {checkpoint.step}"
    motion = found["motion"]
    if not found["passed"]:
        return (
            f"its video has failed its check: its change gains {motion['gain_db']:.1f} dB where "
            f"{found['min_gain_db']:g} are asked for, its first frame has {motion['first_psnr']:.1f} dB where "
            f"{found['min_first_psnr']:g} are"
        )
    return None


def run_folder(checkpoint: Checkpoint) -> Path:
    """Of the run that wrote it; the checkpoint's own where it lies by itself."""
    root = checkpoint.path.parent
    return root.parent if root.name == "checkpoints" else checkpoint.path


def _pairs(prediction: WindowPrediction) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Camera -> its predicted and recorded frames, without those past the episode's end."""
    assert prediction.frames is not None
    seen, predicted = prediction.window.frame_mask, prediction.frames
    return {camera: (predicted[camera][seen], frames[seen]) for camera, frames in prediction.window.frames.items()}


def _camera_scores(predictions: Sequence[WindowPrediction], quality: Quality) -> list[CameraScore]:
    by_camera: dict[tuple[str, str], list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]] = {}
    for prediction in predictions:
        for camera, pair in _pairs(prediction).items():
            by_camera.setdefault((prediction.window.source, camera), []).append(pair)
    return [
        CameraScore(
            source=source,
            camera=camera,
            num_windows=len(pairs),
            motion=Motion.of(pairs),
            scores=quality.score(pairs),
            baseline=quality.score([(recorded[:1].repeat(len(recorded), 0), recorded) for _, recorded in pairs]),
        )
        for (source, camera), pairs in sorted(by_camera.items())
    ]


def _write_sheet(predictions: Sequence[WindowPrediction], path: Path) -> None:
    gains = [(Motion.of(list(_pairs(p).values())).gain_db, i) for i, p in enumerate(predictions)]
    ranked = [i for gain, i in sorted((gain, i) for gain, i in gains if gain is not None)]
    count = min(NUM_PICTURED, len(ranked))
    places = [round(i * (len(ranked) - 1) / max(1, count - 1)) for i in range(count)]
    Image.fromarray(strips([predictions[ranked[place]] for place in places])).save(path)


def _psnr(squared_error_sum: float, count: int) -> float:
    if squared_error_sum == 0:
        return MAX_PSNR
    return min(MAX_PSNR, float(10 * np.log10(PEAK**2 * count / squared_error_sum)))
