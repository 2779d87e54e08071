"""The records that rooms exchange. All are frozen and check themselves on construction.

Conventions: images are RGB uint8, `THWC` or `HWC`; ranges are half open; times are in seconds; `frames[t]` is what the
robot saw *before* it executed `actions[t]`, whatever the recording's own convention was.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

NAME_PATTERN = re.compile(r"[a-z0-9_]+")
KEY_PATTERN = re.compile(r"[a-z0-9_-]+")

Scalar = str | int | float | bool


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera of an episode: its canonical name, the name in the recording, and the size of its frames in pixels."""

    name: str
    recorded_name: str
    height: int
    width: int

    def __post_init__(self) -> None:
        _require(NAME_PATTERN.fullmatch(self.name) is not None, f"camera name {self.name!r} is not [a-z0-9_]+")
        _require(self.height > 0 and self.width > 0, f"camera {self.name}: empty frames {self.height}x{self.width}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One recording, described but not read.

    Attributes:
        source: name of the source plugin.
        file: path of the recording relative to the SRC argument it was found under (posix, never absolute).
        episode_id: name inside the file (`demo_0`), or the file's stem where a file is one episode.
        content_digest: hex SHA-256 that identifies what was recorded (file bytes and episode), not where it lies.
        num_frames: frames of every camera.
        num_actions: rows of the aligned action array, 0 for action-free; `actions[t]` follows `frames[t]`, so
            `num_actions <= num_frames`.
        fps: frames a second.
        cameras: in canonical order, wrist first.
        action_space, state_space: names in `vpdata.spaces`, None where there is none.
        instructions: none, one or several language instructions.
        task: short machine name of the task (`CloseDrawer`), empty where unknown.
        attributes: anything else worth keeping, as scalars (success, layout_id, style_id, ...).
    """

    source: str
    file: str
    episode_id: str
    content_digest: str
    num_frames: int
    num_actions: int
    fps: float
    cameras: tuple[Camera, ...]
    action_space: str | None = None
    state_space: str | None = None
    instructions: tuple[str, ...] = ()
    task: str = ""
    attributes: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(self.num_frames > 0, "an episode has at least one frame")
        _require(0 <= self.num_actions <= self.num_frames, f"{self.num_actions} actions for {self.num_frames} frames")
        _require((self.num_actions > 0) == (self.action_space is not None), "actions need an action space")
        _require(self.fps > 0, f"fps {self.fps}")
        _require(len({c.name for c in self.cameras}) == len(self.cameras) > 0, "cameras need distinct names")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A clip's place in its episode: frames [start, stop), of which the first `num_starts` begin a window in this clip.

    The spans of an episode own every frame as a window start exactly once; the frames after `num_starts` are there so
    that those windows are whole.
    """

    start: int
    stop: int
    num_starts: int

    def __post_init__(self) -> None:
        _require(0 <= self.start < self.stop, f"span [{self.start}, {self.stop})")
        _require(0 < self.num_starts <= self.stop - self.start, f"{self.num_starts} starts in {self.stop - self.start}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file inside a shard: `wrist.mp4`, `actions.npy`, `state.npy` or `json`; `offset` is that of its data."""

    name: str
    offset: int
    size: int
    crc32: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip as stored: a row of the index; `span` is its place in `episode`, `num_actions` counts those inside."""

    key: str
    shard: str
    episode: Episode
    span: Span
    num_actions: int
    codec: str
    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        _require(KEY_PATTERN.fullmatch(self.key) is not None, f"clip key {self.key!r} is not [a-z0-9_-]+")
        _require(0 <= self.num_actions <= self.num_frames, f"{self.num_actions} actions for {self.num_frames} frames")

    @property
    def num_frames(self) -> int:
        """Frames stored for every camera."""
        return self.span.stop - self.span.start

    @property
    def num_labelled_starts(self) -> int:
        """Window starts that have at least one action."""
        return min(self.span.num_starts, self.num_actions)
