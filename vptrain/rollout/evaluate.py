"""Held-out windows in, predictions and their errors out, beside what a trivial predictor would reach."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vpdata import spaces
from vpdata.loader.window import Window
from vptrain.batch import Batch, make_batches
from vptrain.config import SamplingConfig
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.policy import predict

BATCH_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowPrediction:
    """One window beside its prediction.

    Attributes:
        window: as recorded, its frames of the size that the model sees.
        frames: predicted, camera -> uint8 (F, H, W, 3), None where no video was asked for; frame 0 is predicted too.
        actions: predicted, normalised (A, D), as a robot would execute them: inside the training set's range, 0 where
            that has no width; None for an action-free window or a policy without a trained head.
        recorded_actions: normalised (A, D), None likewise.
    """

    window: Window
    frames: dict[str, NDArray[np.uint8]] | None
    actions: NDArray[np.float64] | None
    recorded_actions: NDArray[np.float64] | None

    def psnr(self) -> tuple[float, float]:
        """Of the predicted frames after the first, and of repeating the first recorded frame, in dB (peak 255).

        Frames past the episode's end do not count; there must be one that is not.
        """
        seen = self.window.frame_mask[1:]
        if self.frames is None or not seen.any():
            raise ValueError("there is no predicted video to compare")
        recorded = np.stack(list(self.window.frames.values())).astype(np.float64)
        predicted = np.stack(list(self.frames.values())).astype(np.float64)
        error = np.square(predicted[:, 1:][:, seen] - recorded[:, 1:][:, seen]).mean()
        repeated = np.square(recorded[:, :1] - recorded[:, 1:][:, seen]).mean()
        return _decibel(error), _decibel(repeated)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionErrors:
    """Root mean squared errors of normalised actions, where 2 is the whole range of the training set.

    The baseline predicts the training set's mean action.
    """

    space: str
    num_windows: int
    error: float
    baseline_error: float
    dimensions: tuple[tuple[str, float, float], ...]

    @classmethod
    def of(cls, predictions: Sequence[WindowPrediction], normalizer: ActionNormalizer) -> "ActionErrors | None":
        """Over every action that exists in the windows that have both; None where there is none."""
        predicted, recorded, count = [], [], 0
        for prediction in predictions:
            if prediction.actions is not None and prediction.recorded_actions is not None:
                predicted.append(prediction.actions[prediction.window.action_mask])
                recorded.append(prediction.recorded_actions[prediction.window.action_mask])
                count += 1
        if not count:
            return None
        truth = np.concatenate(recorded)
        squares = np.square(np.concatenate(predicted) - truth)
        baseline = np.square(normalizer.mean - truth)
        names = spaces.load(normalizer.space).names
        return cls(
            space=normalizer.space,
            num_windows=count,
            error=float(np.sqrt(squares.mean())),
            baseline_error=float(np.sqrt(baseline.mean())),
            dimensions=tuple(
                zip(names, np.sqrt(squares.mean(0)).tolist(), np.sqrt(baseline.mean(0)).tolist(), strict=True)
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "space": self.space,
            "num_windows": self.num_windows,
            "error": self.error,
            "baseline_error": self.baseline_error,
            "dimensions": [
                {"name": name, "error": error, "baseline_error": baseline} for name, error, baseline in self.dimensions
            ],
        }


def predict_windows(
    policy: VideoPolicy,
    windows: Sequence[Window],
    *,
    text: CachedText,
    sampling: SamplingConfig,
    seed: int,
    normalizer: ActionNormalizer | None,
    with_video: bool,
) -> Iterator[WindowPrediction]:
    """Predicts every window, in the order of the windows within a camera layout.

    A window's noise follows from `seed` and from what window it is, not from which others there are.

    Args:
        normalizer: of a policy with a trained head; None predicts video alone.
        with_video: whether to decode the video.
    """
    config, device = policy.config, next(policy.parameters()).device
    for labelled in (True, False):
        chosen = [w for w in windows if (w.actions is not None and normalizer is not None) == labelled]
        by_layout: dict[tuple[str, ...], list[Window]] = {}
        for window in chosen:
            by_layout.setdefault(tuple(window.frames), []).append(window)
        for group in by_layout.values():
            for i in range(0, len(group), BATCH_SIZE):
                part = group[i : i + BATCH_SIZE]
                (batch,) = make_batches(
                    part,
                    image_size=config.image_size,
                    device=device,
                    normalizer=normalizer if labelled else None,
                )
                prediction = predict(
                    policy,
                    batch,
                    text=text,
                    sampling=sampling,
                    seeds=[_window_seed(seed, window) for window in part],
                    with_actions=labelled,
                    with_video=with_video,
                )
                actions = None
                if normalizer is not None and prediction.actions_BAD is not None:
                    actions = normalizer.normalize(normalizer.restore(prediction.actions_BAD.double().numpy()))
                yield from _split(part, batch, prediction.frames_BVFHWC, actions)


def _window_seed(seed: int, window: Window) -> int:
    """Of the noise of one window: a function of the seed, its clip and its start."""
    place = f"{seed}:{window.source}:{window.key}:{window.start}"
    return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=7).digest(), "little")


def _split(
    windows: Sequence[Window], batch: Batch, frames: Tensor | None, actions: NDArray[np.float64] | None
) -> Iterator[WindowPrediction]:
    shown, recorded = batch.pictures_BVFHWC.cpu().numpy(), batch.actions_BAD
    for i, window in enumerate(windows):
        yield WindowPrediction(
            window=window.with_frames(dict(zip(batch.layout, shown[i], strict=True))),
            frames=None if frames is None else dict(zip(batch.layout, frames[i].numpy(), strict=True)),
            actions=None if actions is None else actions[i],
            recorded_actions=None if actions is None or recorded is None else recorded[i].double().numpy(),
        )


def _decibel(squared_error: float) -> float:
    """PSNR for a peak of 255, 99 dB for no error."""
    return 99.0 if squared_error == 0 else float(10 * np.log10(255**2 / squared_error))
