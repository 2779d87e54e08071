"""A data set in, what a seeded sample of its windows looks like out; the only module here that decodes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vpdata.curation.watch import LONGEST_SIDE, Watch
from vpdata.overview.facts import Footage
from vpdata.overview.looks import WINDOW_FRAMES, View, Windows, describe_sample, join, windows_of
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset


@dataclass(slots=True, kw_only=True)
class _Seen:
    """The windows of one camera, and of each the clip's key, the first frame in its episode, and a picture."""

    windows: list[Windows] = field(default_factory=list)
    shown: list[tuple[str, int, bytes]] = field(default_factory=list)


def sample(dataset: Dataset, *, num_windows: int, seed: int, advance: Callable[[int], object]) -> Footage:
    """Decodes windows, every camera of them; equal arguments give equal windows.

    Args:
        dataset: with at least one clip.
        num_windows: how many are drawn, at least 1; every frame that begins a window is equally likely, and drawn once.
        seed: of the draw.
        advance: called with 1 after every window.

    Raises:
        ShardError: a clip is damaged.
    """
    ends = np.cumsum(dataset.index.numbers("num_starts"))
    total = int(ends[-1])
    starts = np.sort(np.random.default_rng(seed).choice(total, min(num_windows, total), replace=False, shuffle=False))
    seen: dict[str, _Seen] = {}
    for row, start in zip(np.searchsorted(ends, starts, side="right").tolist(), starts.tolist(), strict=True):
        clip = dataset.index.clip(row)
        first = start - (int(ends[row - 1]) if row else 0)
        for camera in clip.episode.cameras:
            _look(dataset, clip, camera.name, first, seen.setdefault(camera.name, _Seen()))
        advance(1)
    views = [View(camera=camera, windows=join(one.windows), show=one.shown.__getitem__) for camera, one in seen.items()]
    return describe_sample(views, seed=seed)


def _look(dataset: Dataset, clip: Clip, camera: str, first: int, seen: _Seen) -> None:
    indices = range(first, min(first + WINDOW_FRAMES, clip.num_frames))
    watch = Watch(hashed=frozenset({0}))  # the first frame gets a thumbnail
    for picture in dataset.frames(clip, camera, indices):
        watch.see(small(picture))
    columns = {name: np.array(values, np.float32) for name, values in watch.columns.items()}
    seen.windows.append(windows_of(columns, start=0, stop=len(indices)))
    seen.shown.append((clip.key, clip.span.start + first, watch.thumbnails[0].jpeg))


def small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of an RGB `HWC` picture with at most LONGEST_SIDE pixels a side."""
    height, width, _ = picture.shape
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
