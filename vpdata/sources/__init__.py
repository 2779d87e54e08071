"""Sources read recordings. One file a source; `load(name)` imports it.

A source knows its format and nothing of clips or shards. It finds files, describes their episodes (cheaply, without
decoding images), and reads frames in RGB, upright and in step with the actions.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError
from vpdata.schema import NAME_PATTERN, Episode

NAMES = (
    "robocasa",
    "libero",
    "robomimic",
    "teleop",
    "video",
    "images",
    "folder",
    "ros",
    "droid",
    "lerobot",
    "robocasa365",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a user may say about a recording.

    Attributes:
        cameras: canonical name -> recorded name; empty means the source's own defaults.
        fps: for video, the constant rate to resample to (None: the nominal rate); for recordings that store no rate,
            the rate they were made at (None: the source's default); for folders, that of the clock (None: the table's).
        filter_key: name of a list of demos under `mask/` (RoboCasa, robomimic), None for all.
        instruction: overrides the recording's language; None keeps it.
        resample: for folders and bags whose cameras and rows are not in step: bring them to one clock instead of
            refusing them.
        spans: for video, (file, SHA-256) -> frames [start, stop) of every span that is an episode; None: a file is one.
            Only `Source.episodes` looks at it.
        tolerance_seconds: for folders and bags, how far a frame or row may be from its tick; None for half a period.
        action_space: for DROID, which of the actions that it records is taken; None for the source's default.
        topics: for bags, the text of the TOML file that says what their topics are (`vpdata.sources.ros_topics`).
    """

    cameras: Mapping[str, str] = field(default_factory=dict)
    fps: float | None = None
    filter_key: str | None = None
    instruction: str | None = None
    resample: bool = False
    tolerance_seconds: float | None = None
    spans: Mapping[tuple[str, str], Sequence[tuple[int, int]]] | None = None
    topics: str | None = None
    action_space: str | None = None

    def __post_init__(self) -> None:
        recorded = list(self.cameras.values())
        for name, place in self.cameras.items():
            if NAME_PATTERN.fullmatch(name) is None:
                raise VpdataError(f"camera name {name!r} is not [a-z0-9_]+.", hint="Choose another name with --camera.")
            if recorded.count(place) > 1:
                both = ", ".join(repr(other) for other, one in self.cameras.items() if one == place)
                what = f"cameras {both} are all to come from {place!r}, so that one view would count as several."
                raise VpdataError(what, hint="Give each recorded camera one name with --camera.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file to read (`path`), and the posix path under its SRC argument by which it is known (`name`)."""

    path: Path
    name: str


class EpisodeReader(Protocol):
    """An open episode. Frames are asked for in increasing, possibly overlapping ranges."""

    def frames(self, camera: str, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """Yields RGB `HWC` frames [start, stop) of the camera with that canonical name."""
        ...

    @property
    def actions(self) -> NDArray[np.generic] | None:
        """(num_actions, D), in the recording's own dtype; row t follows frame t. None for action-free."""
        ...

    @property
    def state(self) -> NDArray[np.generic] | None:
        """(num_frames, D), in the recording's own dtype; row t was observed with frame t. None where there is none."""
        ...


class Source(Protocol):
    """A recording format."""

    name: str

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The files of this format at `path` (a file or a folder), in natural order.

        Raises:
            SourceError: the path is missing, or holds nothing of this format.
        """
        ...

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The file's episodes in natural order; an episode that cannot be used comes as the error that says why.

        Raises:
            SourceError: the file as a whole cannot be read.
        """
        ...

    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> AbstractContextManager[EpisodeReader]:
        """Opens one episode that `episodes` described."""
        ...


def load(name: str) -> Source:
    """The source plugin with that name. Raises VpdataError for an unknown one."""
    if name not in NAMES:
        raise VpdataError(f"there is no source {name!r}.", hint=f"Choose one of {', '.join(NAMES)}.")
    return cast(Source, importlib.import_module(f"vpdata.sources.{name}").SOURCE)
