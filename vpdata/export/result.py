"""What an export made, as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A finished export.

    Attributes:
        path: the folder or file.
        num_episodes: in it.
        num_frames: of each camera.
        num_camera_frames: of all cameras together.
        num_encoded: of these, how many were encoded with loss again; the others are as they were stored.
    """

    path: Path
    num_episodes: int
    num_frames: int
    num_camera_frames: int
    num_encoded: int

    def counts(self) -> dict[str, int]:
        """The numbers by name."""
        return {name: getattr(self, name) for name in _COUNTS}

    @classmethod
    def from_counts(cls, path: Path, counts: Mapping[str, Any]) -> Self:
        """The inverse of `counts`; other entries are left alone."""
        return cls(path=path, **{name: int(counts[name]) for name in _COUNTS})


_COUNTS = ("num_episodes", "num_frames", "num_camera_frames", "num_encoded")
