"""The windows of a batch and where their frames lie: planned before they are loaded, put together afterwards."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpdata.loader.corrupt import Corrupt
from vpdata.loader.jobs import Place
from vpdata.loader.window import View, Window

ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """The windows of a batch that show the same cameras at the same sizes. b is their number, F `num_frames`.

    Attributes:
        layout: the cameras, in order; V is their number.
        places: (b,) which windows of the batch these are, in order.
        frames: camera -> uint8 (b, F, H, W, 3), contiguous; as stored, or of the size that the specification asks for.
            Latents: uint8 (b, F, *shape), as `LatentSpec` has it.
        stacked: uint8 (V, b, F, H, W, 3), contiguous, the same memory, where all cameras have one size; else None.
            Latents: (V, b, F, *shape).
    """

    layout: tuple[str, ...]
    places: tuple[int, ...]
    frames: Mapping[str, NDArray[np.uint8]]
    stacked: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowBatch:
    """What one rank sees of one global batch.

    The frames lie in memory that is used again: copy what has to last.

    Attributes:
        position: the first of the global batch, over all ranks.
        windows: in the order of their positions; their frames are views into the groups.
        groups: by what they show, in the order of their first windows.
        replaced: windows that were corrupt and stand nowhere in `windows`.
    """

    position: int
    windows: tuple[Window, ...]
    groups: tuple[Group, ...]
    replaced: tuple[Corrupt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """Where the frames of a group go in a slot: camera by camera, window by window."""

    views: tuple[View, ...]
    places: tuple[int, ...]
    offsets: tuple[int, ...]
    num_frames: int

    def place(self, view: int, member: int) -> Place:
        """Where one view of the group's n-th window goes."""
        size = self.num_frames * math.prod(self.views[view].shape)
        return Place(view=self.views[view], offset=self.offsets[view] + member * size)

    def group(self, memory: NDArray[np.uint8]) -> Group:
        """The group as it lies in the slot's memory."""
        shapes = [(len(self.places), self.num_frames, *view.shape) for view in self.views]
        if len(set(shapes)) == 1:
            return _stacked(self, np.ndarray((len(shapes), *shapes[0]), np.uint8, memory, self.offsets[0]))
        arrays = [np.ndarray(shape, np.uint8, memory, at) for shape, at in zip(shapes, self.offsets, strict=True)]
        layout = tuple(view.camera for view in self.views)
        frames = dict(zip(layout, arrays, strict=True))
        return Group(layout=layout, places=self.places, frames=frames, stacked=None)


def plan_groups(views: Sequence[tuple[View, ...]], *, num_frames: int) -> tuple[tuple[GroupPlan, ...], int]:
    """Where the windows of a batch go that show these views; and the bytes that they need together."""
    members: dict[tuple[View, ...], list[int]] = {}
    for place, shown in enumerate(views):
        members.setdefault(shown, []).append(place)
    plans = []
    end = 0
    for shown, places in members.items():
        end += -end % ALIGNMENT
        offsets = []
        for view in shown:
            offsets.append(end)
            end += len(places) * num_frames * math.prod(view.shape)
        plans.append(GroupPlan(views=shown, places=tuple(places), offsets=tuple(offsets), num_frames=num_frames))
    return tuple(plans), end


def regroup(
    views: Sequence[tuple[View, ...]], windows: Sequence[Window], *, num_frames: int
) -> tuple[tuple[Group, ...], tuple[Window, ...]]:
    """Groups of windows whose frames lie anywhere: copies them together. The windows come back as views into them."""
    plans, size = plan_groups(views, num_frames=num_frames)
    memory = np.empty(size, np.uint8)
    groups = tuple(plan.group(memory) for plan in plans)
    regrouped = list(windows)
    for group in groups:
        for member, place in enumerate(group.places):
            for camera, frames in group.frames.items():
                frames[member] = windows[place].frames[camera]
            regrouped[place] = windows[place].with_frames({c: frames[member] for c, frames in group.frames.items()})
    return groups, tuple(regrouped)


def group_windows(windows: Sequence[Window]) -> tuple[tuple[Group, ...], tuple[Window, ...]]:
    """As `regroup`, of windows that say themselves what they show."""
    views = [
        tuple(View(camera=camera, shape=frames.shape[1:]) for camera, frames in window.frames.items())
        for window in windows
    ]
    return regroup(views, windows, num_frames=len(windows[0].frame_mask) if windows else 0)


def _stacked(plan: GroupPlan, stacked: NDArray[np.uint8]) -> Group:
    layout = tuple(view.camera for view in plan.views)
    return Group(layout=layout, places=plan.places, frames=dict(zip(layout, stacked, strict=True)), stacked=stacked)
