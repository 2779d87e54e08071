"""What was measured of windows in, its distributions and its extremes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vpdata.overview.facts import CameraLooks, Distribution, Example, Footage, Looks

WINDOW_FRAMES: Final = 8
"""Consecutive frames that are looked at together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """N windows: (N,) float64 each; `motion` is NaN where a window has one frame only."""

    luma: NDArray[np.float64]
    motion: NDArray[np.float64]
    sharpness: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.luma)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """The windows of one camera; `show(i)` is window i's key, first frame and picture (JPEG, empty without)."""

    camera: str
    windows: Windows
    show: Callable[[int], tuple[str, int, bytes]]


def windows_of(columns: Mapping[str, NDArray[np.float32]], *, start: int, stop: int) -> Windows:
    """The frames [start, stop) as windows one after the other, the last one perhaps shorter.

    Args:
        columns: what curation measures of each frame; the first frame's motion is that from a frame outside.
        start, stop: start < stop.
    """
    firsts = np.arange(start, stop, WINDOW_FRAMES)
    sizes = np.minimum(firsts + WINDOW_FRAMES, stop) - firsts

    def means(name: str) -> NDArray[np.float64]:
        return np.add.reduceat(columns[name][start:stop].astype(np.float64), firsts - start) / sizes

    moved = columns["motion"][start:stop].astype(np.float64)
    moved[firsts - start] = 0.0  # from frame to frame inside a window
    changes = np.where(sizes > 1, sizes - 1.0, np.nan)
    return Windows(
        luma=means("luma_mean"),
        motion=np.add.reduceat(moved, firsts - start) / changes,
        sharpness=means("sharpness"),
    )


def join(parts: Sequence[Windows]) -> Windows:
    """All windows of the parts, in order; at least one part."""
    return Windows(
        luma=np.concatenate([part.luma for part in parts]),
        motion=np.concatenate([part.motion for part in parts]),
        sharpness=np.concatenate([part.sharpness for part in parts]),
    )


def describe_looks(windows: Windows, *, binned_with: Windows | None = None) -> Looks:
    """The distributions of N >= 1 windows, with bins that span those of `binned_with` too."""
    whole = windows if binned_with is None else join([windows, binned_with])
    moving, all_moving = _moving(windows), _moving(whole)
    return Looks(
        luma=Distribution.of(windows.luma, limits=_limits(whole.luma)),
        motion=Distribution.of(moving, limits=_limits(all_moving)) if len(moving) else None,
        sharpness=Distribution.of(windows.sharpness, limits=_limits(whole.sharpness)),
    )


def describe_sample(views: Sequence[View], *, seed: int | None) -> Footage:
    """The distributions of every camera, and the extremes over all; every view has N >= 1 windows.

    Args:
        views: one a camera.
        seed: of the sample that they are of, None for all windows that curation has measured.
    """
    return Footage(
        method="measured" if seed is None else "sampled",
        num_windows=max(len(view.windows) for view in views),
        window_frames=WINDOW_FRAMES,
        seed=seed,
        cameras=tuple(CameraLooks(camera=view.camera, looks=describe_looks(view.windows)) for view in views),
        examples=(
            _extreme(views, "darkest", "luma", 1),
            _extreme(views, "brightest", "luma", -1),
            *(
                _extreme(views, what, "motion", sign)
                for what, sign in (("stillest", 1), ("most motion", -1))
                if any(len(_moving(view.windows)) for view in views)
            ),
            _extreme(views, "blurriest", "sharpness", 1),
            _extreme(views, "sharpest", "sharpness", -1),
        ),
    )


def _extreme(views: Sequence[View], what: str, name: str, sign: int) -> Example:
    """The window with the least (sign 1) or most (sign -1) of something."""
    columns = [sign * getattr(view.windows, name) for view in views]
    lowest = [np.nanmin(column, initial=np.inf) for column in columns]
    view, column = min(zip(views, columns, strict=True), key=lambda pair: lowest[views.index(pair[0])])
    i = int(np.nanargmin(column))
    key, frame, picture = view.show(i)
    return Example(what=what, value=float(sign * column[i]), key=key, camera=view.camera, frame=frame, picture=picture)


def _moving(windows: Windows) -> NDArray[np.float64]:
    return windows.motion[~np.isnan(windows.motion)]


def _limits(values: NDArray[np.float64]) -> tuple[float, float] | None:
    return (float(values.min()), float(values.max())) if len(values) else None
