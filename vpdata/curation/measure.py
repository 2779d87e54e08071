"""One video in, what can be said of each of its frames out; the only module of this room that decodes videos.

Every frame is looked at on a small copy (`vpdata/curation/watch.py`).
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vpdata.curation.duplicates import PERIOD_SECONDS
from vpdata.curation.measurements import Measurements
from vpdata.curation.watch import Watch, shrink
from vpdata.sources.decoder import Decoder, Luma
from vpdata.sources.timeline import read_timeline

_FULL_RANGE: Final = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
"""Luma of limited range (16 to 235) as of full range (0 to 255)."""


def measure(path: Path) -> Measurements:
    """Decodes a video once, from the start to the end, in this thread.

    Raises:
        SourceError: the file is no video, or does not decode without errors.
    """
    cv2.setNumThreads(1)
    timeline = read_timeline(path, fps=None)
    seconds = (np.array(timeline.timestamps) - timeline.timestamps[0]) * float(timeline.tick_seconds)
    fps = float(timeline.fps)
    watch = Watch(hashed=frozenset(hashed_frames(seconds, end_seconds=seconds[-1] + 1 / fps).tolist()))
    with Decoder(path, timeline) as decoder:
        for luma in decoder.lumas():
            height, width = luma.pixels.shape
            watch.see_grey(_grey(luma), lambda: shrink(luma.rgb()))  # noqa: B023  # called at once, if at all
    return Measurements(
        height=height,
        width=width,
        fps=fps,
        seconds=seconds,
        columns={name: np.array(values, np.float32) for name, values in watch.columns.items()},
        hashes=watch.hashes,
        thumbnails=tuple(watch.thumbnails),
    )


def greys(path: Path, *, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    """Decodes frames [start, stop) of a video again: the small copies (H, W) that were looked at.

    Raises:
        SourceError: the video does not decode without errors.
    """
    with Decoder(path, read_timeline(path, fps=None), begin=start) as decoder:
        for luma in islice(decoder.lumas(), stop - start):
            yield _grey(luma)


def _grey(luma: Luma) -> NDArray[np.uint8]:
    small = shrink(luma.pixels)
    return small if luma.is_full_range else cv2.LUT(small, _FULL_RANGE)


def hashed_frames(seconds: NDArray[np.float64], *, end_seconds: float) -> NDArray[np.int64]:
    """(K,): for every whole number k of periods before the end, the frame nearest to k * PERIOD_SECONDS.

    Args:
        seconds: (N,) of the frames, increasing from 0.
        end_seconds: when the last frame ends.
    """
    ticks = np.arange(int(np.ceil(end_seconds / PERIOD_SECONDS))) * PERIOD_SECONDS
    after = np.searchsorted(seconds, ticks).clip(max=len(seconds) - 1)
    before = (after - 1).clip(min=0)
    return np.where(ticks - seconds[before] <= seconds[after] - ticks, before, after)
