"""A stored clip, a start and a window specification enter; one `Window` of frames, actions, state and masks leaves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vpdata.clips.resize import Fit, resize
from vpdata.errors import VpdataError
from vpdata.loader.draws import draws
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentSpec:
    """What to read from clips that hold latents in place of pictures, see `vpdata.clips.latents`.

    Attributes:
        shape: of each frame's latents, in bytes: its last entry is that of their array times the size of a number.
        num_variants: in every clip.
        seed: says with the position which of them a window shows.
    """

    shape: tuple[int, ...]
    num_variants: int
    seed: int

    def variant(self, position: int) -> int:
        """The variant that the window at a global position shows."""
        drawn = draws(self.seed, [position], purpose="latents variant", count=1)
        return int(drawn[0, 0] * self.num_variants)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpec:
    """What to cut.

    Attributes:
        num_frames, stride: frames start, start + stride, ... of every camera.
        horizon: actions start, start + 1, ..., start + horizon - 1.
        height, width: of the frames, in pixels; both None for as each camera is stored.
        fit: how frames of another shape get that size, see `vpdata.clips.resize`.
        cameras: those to show, in this order; a clip shows those of them that it has, or its first camera alone where
            it has none of them.
        latents: None for pictures. Else clips hold latents, the bytes of which stand where the frames of pictures do;
            `height` and `width` are None then.
    """

    num_frames: int
    stride: int
    horizon: int
    height: int | None
    width: int | None
    fit: Fit = "crop"
    cameras: tuple[str, ...]
    latents: LatentSpec | None = None

    def __post_init__(self) -> None:
        for name in ("num_frames", "stride", "horizon", "height", "width"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} = {value} is not positive")
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width are both numbers, or both None")
        if self.latents is not None and self.height is not None:
            raise ValueError("latents have no height and width to choose")
        if not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise ValueError(f"cameras {self.cameras} are not distinct names")

    @property
    def span(self) -> int:
        """Frames of an episode that a window reaches over."""
        return max((self.num_frames - 1) * self.stride + 1, self.horizon)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One camera that a window shows, and the shape of each of its frames: (height, width, 3), or that of latents."""

    camera: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """What a model sees of one clip. F is `num_frames`, D the action space's size, S the state space's.

    Attributes:
        frames: camera -> uint8 (F, height, width, 3), RGB; past the episode's end its last frame repeats. Latents:
            uint8 (F, *shape), as `LatentSpec` has it.
        frame_mask: bool (F,), False where a frame repeats so.
        actions: float64 (horizon, D), row i executed after frame `start + i`, zeros past the last action; None in
            action-free windows.
        action_mask: bool (horizon,), False where there is no such action.
        action_space: its name; None in action-free windows.
        state: float64 (F, S), observed with the frames; None where there is none and in action-free windows, which
            show nothing that a video would not.
        state_space: its name, None where `state` is.
        instruction: one of the clip's, "" where it has none.
        key, shard: which clip.
        start: the first frame, counted in the episode.
        source: the mixture's name of the data set.
        position: global position in the stream, None outside one.
    """

    frames: Mapping[str, NDArray[np.uint8]]
    frame_mask: NDArray[np.bool_]
    actions: NDArray[np.float64] | None
    action_mask: NDArray[np.bool_]
    action_space: str | None
    state: NDArray[np.float64] | None
    state_space: str | None
    instruction: str
    key: str
    shard: str
    start: int
    source: str
    position: int | None

    def with_frames(self, frames: Mapping[str, NDArray[np.uint8]]) -> "Window":
        """The same window with other arrays for its frames."""
        return replace(self, frames=frames)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowArrays:
    """What of a window comes from its shard; the rest follows from the index. Fields as in `Window`."""

    frames: Mapping[str, NDArray[np.uint8]]
    actions: NDArray[np.float64] | None
    state: NDArray[np.float64] | None


def cut_window(
    dataset: Dataset,
    clip: Clip,
    start: int,
    spec: WindowSpec,
    *,
    labelled: bool,
    source: str,
    position: int | None = None,
) -> Window:
    """Cuts the window that begins at frame `start` of the clip.

    Args:
        dataset: that the clip belongs to.
        clip: one with actions, if `labelled`.
        start: in [0, clip.span.num_starts).
        spec: what to cut.
        labelled: whether to show actions and state.
        source: the name that the window carries.
        position: that the window carries; where a clip has n instructions, it shows number `position % n`.

    Raises:
        VpdataError: the window reaches past the clip although the episode goes on.
        ShardError: the clip's shard is missing, or its bytes are damaged (DamageError).
    """
    arrays = read_window(dataset, clip, start, spec, labelled=labelled, position=position or 0)
    return window_of(clip, start, spec, arrays, labelled=labelled, source=source, position=position)


def read_window(
    dataset: Dataset,
    clip: Clip,
    start: int,
    spec: WindowSpec,
    *,
    labelled: bool,
    position: int = 0,
    into: Mapping[str, NDArray[np.uint8]] | None = None,
) -> WindowArrays:
    """The first half of `cut_window`: reads and decodes.

    Args:
        dataset, clip, start, spec, labelled: as `cut_window` takes them.
        position: decides which variant of latents is read.
        into: arrays to write the frames to, one for each of `window_views`; None for new ones.

    Raises:
        VpdataError, ShardError: as `cut_window`.
    """
    if not 0 <= start < clip.span.num_starts:
        raise ValueError(f"start {start} is not in [0, {clip.span.num_starts}) of clip {clip.key}")
    if labelled and not clip.num_actions:
        raise ValueError(f"clip {clip.key} has no actions")
    _check_reach(dataset, clip, start, spec, labelled=labelled)
    if into is None:
        views = window_views(clip, spec)
        into = {view.camera: np.empty((spec.num_frames, *view.shape), np.uint8) for view in views}
    rows = np.minimum(_wanted(start, spec), clip.num_frames - 1).tolist()
    for camera, frames in into.items():
        if spec.latents is None:
            _read_frames(dataset, clip, camera, rows, spec, frames)
        else:
            dataset.latents_into(clip, camera, rows, frames, variant=spec.latents.variant(position))
    state = dataset.state(clip) if labelled else None
    actions = dataset.actions(clip) if labelled else None
    return WindowArrays(
        frames=into,
        actions=None if actions is None else _padded(actions[start : start + spec.horizon], spec.horizon),
        state=None if state is None else state[rows].astype(np.float64),
    )


def window_of(
    clip: Clip,
    start: int,
    spec: WindowSpec,
    arrays: WindowArrays,
    *,
    labelled: bool,
    source: str,
    position: int | None,
) -> Window:
    """The second half of `cut_window`: says what `read_window` has read. Arguments as `cut_window` takes them."""
    episode = clip.episode
    instructions = episode.instructions
    return Window(
        frames=arrays.frames,
        frame_mask=_wanted(start, spec) < clip.num_frames,
        actions=arrays.actions,
        action_mask=np.arange(start, start + spec.horizon) < (clip.num_actions if labelled else 0),
        action_space=episode.action_space if labelled else None,
        state=arrays.state,
        state_space=None if arrays.state is None else episode.state_space,
        instruction=instructions[(position or 0) % len(instructions)] if instructions else "",
        key=clip.key,
        shard=clip.shard,
        start=clip.span.start + start,
        source=source,
        position=position,
    )


def window_cameras(clip: Clip, cameras: tuple[str, ...]) -> tuple[str, ...]:
    """The cameras that a window of this clip shows: those of `cameras` that it has, or else its first one alone."""
    stored = tuple(camera.name for camera in clip.episode.cameras)
    return tuple(name for name in cameras if name in stored) or stored[:1]


def window_views(clip: Clip, spec: WindowSpec) -> tuple[View, ...]:
    """What a window of this clip shows, in order."""
    shown = window_cameras(clip, spec.cameras)
    if spec.latents is not None:
        return tuple(View(camera=name, shape=spec.latents.shape) for name in shown)
    stored = {camera.name: camera for camera in clip.episode.cameras}
    return tuple(
        View(camera=name, shape=(spec.height or stored[name].height, spec.width or stored[name].width, 3))
        for name in shown
    )


def _wanted(start: int, spec: WindowSpec) -> NDArray[np.intp]:
    """The frames of the clip that a window asks for, those past its end included."""
    return start + spec.stride * np.arange(spec.num_frames)


def _read_frames(
    dataset: Dataset, clip: Clip, camera: str, indices: list[int], spec: WindowSpec, out: NDArray[np.uint8]
) -> None:
    stored = next(c for c in clip.episode.cameras if c.name == camera)
    if out.shape[1:3] == (stored.height, stored.width):
        dataset.frames_into(clip, camera, indices, out)
        return
    distinct, places = np.unique(indices, return_inverse=True)
    frames = dataset.frames(clip, camera, distinct.tolist())
    out[:] = resize(frames, height=out.shape[1], width=out.shape[2], fit=spec.fit)[places]


def _check_reach(dataset: Dataset, clip: Clip, start: int, spec: WindowSpec, *, labelled: bool) -> None:
    last_frame = start + spec.stride * (spec.num_frames - 1)
    frames_go_on = clip.span.stop < clip.episode.num_frames
    actions_go_on = clip.span.start + clip.num_actions < clip.episode.num_actions
    frames_cut = frames_go_on and last_frame >= clip.num_frames
    actions_cut = labelled and actions_go_on and start + spec.horizon > clip.num_actions
    if frames_cut or actions_cut:
        raise VpdataError(
            f"a window of {spec.num_frames} frames at stride {spec.stride} with {spec.horizon} actions reaches past "
            "its clip, although the episode goes on: the data set was made for shorter windows.",
            path=dataset.path / clip.shard,
            episode=clip.key,
            hint=f"Ingest again with `--window-span {spec.span}` or more.",
        )


def _padded(rows: NDArray[np.generic], length: int) -> NDArray[np.float64]:
    padded = np.zeros((length, *rows.shape[1:]))
    padded[: len(rows)] = rows
    return padded
