"""What `manifest.json` says about a data set: files and their digests, counts, statistics, what was left out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vpdata.errors import ShardError
from vpdata.stats import ArrayStatistics

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
INDEX_NAME = "index.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """A file of the data set: its name, size in bytes and hex SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """A shard: as `FileInfo`, with its clips, and the frames that each of their cameras stores."""

    name: str
    size: int
    sha256: str
    num_clips: int
    num_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An episode that was left out and why; `episode` is empty where the whole file was."""

    file: str
    episode: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole data set. It holds no times, host names or absolute paths: equal input gives equal bytes.

    Attributes:
        source: name of the source plugin.
        options: what the ingest was told, as JSON.
        plan_digest: hex SHA-256 of the recordings' content and the options, by which an ingest knows its own work.
        num_frames: frames stored for each camera, those that two clips share counted twice.
        num_labelled_clips: clips with actions.
        duration_seconds: of the episodes.
        statistics: space name -> statistics of each episode's rows, every row once.
    """

    format_version: int
    tool_version: str
    source: str
    options: Mapping[str, Any]
    plan_digest: str
    shards: tuple[ShardInfo, ...]
    index: FileInfo
    num_episodes: int
    num_clips: int
    num_frames: int
    num_labelled_clips: int
    duration_seconds: float
    statistics: Mapping[str, ArrayStatistics]
    skipped: tuple[Skipped, ...]

    def to_bytes(self) -> bytes:
        """The bytes of `manifest.json`."""
        value = asdict(self)
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_manifest(folder: Path) -> tuple[Manifest, bytes]:
    """The manifest of a data set folder and the bytes it was read from.

    Raises:
        ShardError: the folder holds no data set, a damaged manifest, or one of another format version.
    """
    path = folder / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        unfinished = (folder / ".ingest").is_dir()
        hint = "Its ingest is unfinished: run the same `vpdata ingest` again." if unfinished else None
        raise ShardError(
            f"there is no data set here (no {MANIFEST_NAME}).",
            path=folder,
            hint=hint or "Make one with `vpdata ingest`.",
        ) from None
    try:
        value = json.loads(data)
        version = value["format_version"]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path) from error
    if version != FORMAT_VERSION:
        raise ShardError(
            f"format version {version}, but this vpdata reads version {FORMAT_VERSION}.",
            path=path,
            hint="Use the vpdata that made it, or ingest the recordings again into a new folder.",
        )
    try:
        return _from_json(value), data
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ShardError:
    return ShardError("the manifest is damaged.", path=path, hint="Restore it, or ingest again into a new folder.")


def _from_json(value: Mapping[str, Any]) -> Manifest:
    rebuilt = {
        "shards": tuple(ShardInfo(**shard) for shard in value["shards"]),
        "index": FileInfo(**value["index"]),
        "statistics": {space: ArrayStatistics.from_json(stats) for space, stats in value["statistics"].items()},
        "skipped": tuple(Skipped(**skipped) for skipped in value["skipped"]),
    }
    return Manifest(**{**value, **rebuilt})
