"""Two recordings as small grey frames in, whether they show the same moments out.

Demonstrations of one task in one scene look alike to the last few pixels, so that looks say nothing: what counts is the
motion. The second recording is brought over the first by a shift and a scale of each axis (one may be cropped out of
the other), what stands still in each is taken away, and the rest is correlated over all pixels and moments, at the
offset in time that fits best. Copies correlate however they were encoded, scaled or cropped; other demonstrations do
not.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vpdata.curation.duplicates import PERIOD_SECONDS

SIZE: Final = 48
"""Rows and columns of a small frame."""

MIN_SCORE: Final = 0.955
"""From here on two recordings show the same moments; `docs/DUPLICATES.md` has the figures behind it."""

SAMPLE_SECONDS: Final = 0.25
STILL: Final = 1.0
"""Grey levels: recordings that both move less (root mean square) are compared as still pictures."""

MAX_SCALE: Final = 0.15
MAX_SHIFT: Final = SIZE / 8
"""Small pixels; with MAX_SCALE the largest crop that is undone."""

_EDGE: Final = 3  # small pixels at each edge that may lie outside the other frame
_BLURS: Final = (3, 1)
_ROUNDS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Footage:
    """All frames of one camera of a recording, small.

    Attributes:
        grey: (N, SIZE, SIZE) uint8.
        seconds: (N,) float64, increasing, when each is shown.
    """

    grey: NDArray[np.uint8]
    seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.grey.shape != (len(self.seconds), SIZE, SIZE):
            raise ValueError(f"frames {self.grey.shape} for {len(self.seconds)} times")

    @property
    def frame_seconds(self) -> float:
        """Between two frames, on average."""
        return float(self.seconds[-1] - self.seconds[0]) / max(1, len(self.seconds) - 1)

    def near(self, seconds: NDArray[np.float64]) -> NDArray[np.intp]:
        """The frames nearest to these times."""
        after = np.clip(np.searchsorted(self.seconds, seconds), 1, max(1, len(self.seconds) - 1))
        after = np.minimum(after, len(self.seconds) - 1)
        before = np.maximum(after - 1, 0)
        return np.where(seconds - self.seconds[before] < self.seconds[after] - seconds, before, after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How well two recordings fit: `score` in [-1, 1], at a moment t of the first and t + offset of the second."""

    score: float
    offset_seconds: float


def small(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, SIZE, SIZE) uint8: the means over areas of frames, uint8 (N, H, W)."""
    _, height, width = grey.shape
    columns = np.matmul(grey.astype(np.float32), _areas(width).T)
    means: NDArray[np.uint8] = np.rint(np.matmul(_areas(height), columns)).astype(np.uint8)
    return means


def compare(first: Footage, second: Footage, *, offset_seconds: float, is_mirrored: bool) -> Likeness:
    """How alike two recordings are where they overlap, near a supposed offset.

    Args:
        first: one.
        second: the other.
        offset_seconds: moment t of the first is about t + offset_seconds of the second, within half PERIOD_SECONDS.
        is_mirrored: whether the first is compared as its mirror image.
    """
    if is_mirrored:
        first = Footage(grey=first.grey[:, :, ::-1], seconds=first.seconds)
    if first.frame_seconds < second.frame_seconds:  # the slower is sampled at its own frames
        turned = compare(second, first, offset_seconds=-offset_seconds, is_mirrored=False)
        return Likeness(score=turned.score, offset_seconds=-turned.offset_seconds)
    step = max(second.frame_seconds, 1e-3)
    reach = round((PERIOD_SECONDS / 2 + first.frame_seconds) / step)
    begin = max(first.seconds[0], second.seconds[0] - offset_seconds)
    stop = min(first.seconds[-1], second.seconds[-1] - offset_seconds)
    inside = np.flatnonzero((first.seconds >= begin) & (first.seconds <= stop))
    sampled = inside[:: max(1, round(SAMPLE_SECONDS / max(first.frame_seconds, 1e-3)))]
    if not len(sampled):
        return Likeness(score=0.0, offset_seconds=offset_seconds)
    times = first.seconds[sampled] + offset_seconds
    here, there = first.grey[sampled].astype(np.float32), second.grey.astype(np.float32)
    over = _registered(here.mean(axis=0), there[second.near(times)].mean(axis=0))
    scores = {n: _score(here, _moved(there[second.near(times + n * step)], over)) for n in range(-reach, reach + 1)}
    best = max(scores, key=lambda n: scores[n])
    there = there[second.near(times + best * step)]
    score = _score(here, _moved(there, _registered(here.mean(axis=0), there.mean(axis=0))))
    return Likeness(score=max(score, scores[best]), offset_seconds=offset_seconds + best * step)


def _score(here: NDArray[np.float32], there: NDArray[np.float32]) -> float:
    """Correlation of what moves; of the pictures themselves where nothing does."""
    inner = [frames[:, _EDGE:-_EDGE, _EDGE:-_EDGE] for frames in (here, there)]
    moving: list[NDArray[np.float32]] = [frames - frames.mean(axis=0) for frames in inner]
    if max(float(np.square(frames).mean()) for frames in moving) < STILL**2:
        moving = [frames.mean(axis=0) - frames.mean() for frames in inner]
    energies = [float(np.square(frames).sum()) for frames in moving]
    return float((moving[0] * moving[1]).sum()) / max(1e-9, math.sqrt(energies[0] * energies[1]))


def _registered(here: NDArray[np.float32], there: NDArray[np.float32]) -> NDArray[np.float64]:
    """(4,): scale of rows and columns (less 1) and shift of rows and columns that bring one picture over another.

    Gauss-Newton on the difference of the pictures, coarse to fine, brightness and contrast set aside.
    """
    over: NDArray[np.float64] = np.zeros(4)
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    inner = slice(_EDGE, -_EDGE)
    limits = np.array([MAX_SCALE, MAX_SCALE, MAX_SHIFT, MAX_SHIFT])
    for blur in _BLURS:
        wanted = _standard(_blurred(here, blur))
        for _ in range(_ROUNDS):
            found = _standard(_blurred(_moved(there[None], over)[0], blur))
            rows, columns = np.gradient(found)
            slopes = np.stack([rows * axis[:, None], columns * axis, rows, columns], axis=-1)[inner, inner]
            change = np.linalg.lstsq(slopes.reshape(-1, 4), (wanted - found)[inner, inner].ravel(), rcond=None)[0]
            over = np.clip(over + change, -limits, limits)
            if np.abs(change).max() < 1e-3:
                break
    return over


def _moved(frames: NDArray[np.float32], over: NDArray[np.float64]) -> NDArray[np.float32]:
    """Frames (N, SIZE, SIZE), sampled linearly at scaled and shifted places; the edge goes on outside."""
    moved: NDArray[np.float32] = np.matmul(np.matmul(_sampler(over[0], over[2]), frames), _sampler(over[1], over[3]).T)
    return moved


def _sampler(scale: float, shift: float) -> NDArray[np.float32]:
    centre = (SIZE - 1) / 2
    places = np.clip(centre + (1 + scale) * (np.arange(SIZE) - centre) + shift, 0, SIZE - 1 - 1e-3)
    below = places.astype(np.intp)
    sampler = np.zeros((SIZE, SIZE), np.float32)
    sampler[np.arange(SIZE), below] = 1 - (places - below)
    sampler[np.arange(SIZE), below + 1] = places - below
    return sampler


def _standard(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    standard: NDArray[np.float32] = (picture - picture.mean()) / (picture.std() + np.float32(1e-6))
    return standard


def _blurred(picture: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """The mean over `radius` pixels to each side; for radius 1 the picture itself."""
    if radius == 1:
        return picture
    places = np.arange(SIZE)
    box = (np.abs(places[:, None] - places) <= radius).astype(np.float32)
    box /= box.sum(axis=1, keepdims=True)
    blurred: NDArray[np.float32] = np.matmul(np.matmul(box, picture), box.T)
    return blurred


@lru_cache(maxsize=16)
def _areas(size: int) -> NDArray[np.float32]:
    """(SIZE, size): the share of each of `size` pixels in each of SIZE areas; rows sum to 1."""
    edges = np.linspace(0, size, SIZE + 1)
    pixels = np.arange(size)
    shares = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    areas: NDArray[np.float32] = (np.maximum(shares, 0) * (SIZE / size)).astype(np.float32)
    return areas
