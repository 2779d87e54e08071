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
from vpdata.schema import Episode

NAMES = ("robocasa", "libero", "robomimic", "teleop", "video", "folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a user may say about a recording.

    Attributes:
        cameras: canonical name -> recorded name; empty means the source's own defaults.
        fps: for video, the constant rate to resample to (None: the nominal rate); for recordings that store no rate,
            the rate they were made at (None: the source's default); for folders, that of the clock (None: the table's).
        filter_key: name of a list of demos under `mask/` (RoboCasa, robomimic), None for all.
        instruction: overrides the recording's language; None keeps it.
        resample: for folders whose cameras and rows are not in step: bring them to one clock instead of refusing them.
        spans: for video, (file, SHA-256) -> frames [start, stop) of every span that is an episode; None: a file is one.
            Only `Source.episodes` looks at it.
        tolerance_seconds: for folders, how far a frame or row may be from its tick; None for half a period.
    """

    cameras: Mapping[str, str] = field(default_factory=dict)
    fps: float | None = None
    filter_key: str | None = None
    instruction: str | None = None
    resample: bool = False
    tolerance_seconds: float | None = None
    spans: Mapping[tuple[str, str], Sequence[tuple[int, int]]] | None = None


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
