"""Rows of numbers, or counts of the grey levels of a camera, in; the statistics that LeRobot keeps of a feature out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
GREY_LEVELS = 256

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureStatistics:
    """Statistics of one feature.

    Attributes:
        min, max, mean, std: (D,) in the feature's units; of a camera (3, 1, 1), from 0 to 1. `std` is the population's.
        quantiles: the same by the name that LeRobot gives them.
        count: rows, or frames of a camera.
    """

    min: Values
    max: Values
    mean: Values
    std: Values
    quantiles: dict[str, Values]
    count: int

    def to_json(self) -> dict[str, Any]:
        """As lists, in the order and under the names of LeRobot."""
        basic = {"min": self.min, "max": self.max, "mean": self.mean, "std": self.std}
        named = {name: values.tolist() for name, values in basic.items()}
        return {**named, "count": [self.count], **{name: values.tolist() for name, values in self.quantiles.items()}}


def of_rows(rows: NDArray[Any]) -> FeatureStatistics:
    """Statistics of rows (N, D) or (N,), N >= 1, computed in float64; the latter have D = 1."""
    values = rows.astype(np.float64).reshape(len(rows), -1)
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return FeatureStatistics(
        min=values.min(axis=0),
        max=values.max(axis=0),
        mean=values.mean(axis=0),
        std=values.std(axis=0),
        quantiles=dict(zip(QUANTILES, quantiles, strict=True)),
        count=len(values),
    )


def count_levels(frames: Iterable[NDArray[np.uint8]]) -> Counts:
    """(3, 256): how often each channel of the RGB `HWC` frames has each grey level."""
    counts = np.zeros((3, GREY_LEVELS), np.int64)
    for frame in frames:
        for channel in range(3):
            counts[channel] += np.bincount(frame[:, :, channel].ravel(), minlength=GREY_LEVELS)
    return counts


def of_levels(counts: Counts, *, num_frames: int) -> FeatureStatistics:
    """Statistics of the pixels that `count_levels` counted in `num_frames` frames."""
    levels = np.arange(GREY_LEVELS) / (GREY_LEVELS - 1)
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    variance = (counts * np.square(levels - mean[:, None])).sum(axis=1) / total
    seen = counts > 0

    def per_channel(values: Values) -> Values:
        return values.reshape(3, 1, 1)

    return FeatureStatistics(
        min=per_channel(levels[seen.argmax(axis=1)]),
        max=per_channel(levels[GREY_LEVELS - 1 - seen[:, ::-1].argmax(axis=1)]),
        mean=per_channel(mean),
        std=per_channel(np.sqrt(variance)),
        quantiles={name: per_channel(_quantile(counts, levels, at)) for name, at in QUANTILES.items()},
        count=num_frames,
    )


def sampled_frames(num_frames: int) -> list[int]:
    """The frames of an episode that LeRobot takes for the statistics of a camera: n^0.75 of them, but 100 to 10,000."""
    count = max(min(100, num_frames), min(int(num_frames**0.75), 10_000))
    return [round(float(place)) for place in np.linspace(0, num_frames - 1, count)]


def _quantile(counts: Counts, levels: Values, at: float) -> Values:
    """As `numpy.quantile` of the single pixels: between the two that are nearest in order, linearly."""
    found = []
    for channel in counts:
        ends = np.cumsum(channel)
        place = at * (ends[-1] - 1)
        below, above = (levels[np.searchsorted(ends, end, side="right")] for end in (np.floor(place), np.ceil(place)))
        found.append(below + (above - below) * (place - np.floor(place)))
    return np.array(found)
