"""What `manifest.json` says about a data set: files and their digests, counts, statistics, what was left out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vpdata.errors import ShardError
from vpdata.schema import Clip
from vpdata.stats import ArrayStatistics

FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
INDEX_NAME = "index.parquet"
ORIGIN_NAME = "origin.json"
"""Where a data set was pulled from; it says nothing of what is in it, and the manifest does not name it."""


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
class Dropped:
    """A clip that was taken out and why: window starts [start_frame, start_frame + num_starts) of its episode.

    `key` is empty for clips of which nothing but the gap was left.
    """

    key: str
    file: str
    episode: str
    content_digest: str
    start_frame: int
    num_starts: int
    reason: str

    @classmethod
    def of(cls, clip: Clip, *, reason: str) -> "Dropped":
        """A clip that is taken out now."""
        return cls(
            key=clip.key,
            file=clip.episode.file,
            episode=clip.episode.episode_id,
            content_digest=clip.episode.content_digest,
            start_frame=clip.span.start,
            num_starts=clip.span.num_starts,
            reason=reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A data set that another was made from: its digest, and what its manifest says of how it came about."""

    digest: str
    source: str
    tool_version: str
    options: Mapping[str, Any]
    operation: "Operation | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """How a data set was made from others without encoding anything again: see `vpdata.sets`.

    Attributes:
        verb: `merge`, `filter`, `subset`, `delete`, `relabel`, `reshard`, `pull` or `latents`.
        arguments: what it was told, as JSON.
        tool_version: of the vpdata that did it.
        inputs: the data sets, in order.
    """

    verb: str
    arguments: Mapping[str, Any]
    tool_version: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole data set. It holds no times, host names or absolute paths: equal input gives equal bytes.

    Attributes:
        tool_version: of the vpdata that wrote the clips.
        source: name of the source plugin; of several, joined by `+`.
        options: what the ingest was told, as JSON; of a data set made from others, only `shard_frames`.
        plan_digest: hex SHA-256 of the recordings' content and the options, by which an ingest knows its own work.
        num_frames: frames stored for each camera, those that two clips share counted twice.
        num_labelled_clips: clips with actions.
        duration_seconds: of the episodes.
        statistics: space name -> statistics of each episode's rows, every row once.
        skipped: what the ingest left out.
        dropped: what repairs took out later, and what a filter left out of episodes that it kept in part.
        operation: how it was made from other data sets; None for what an ingest made.
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
    dropped: tuple[Dropped, ...] = ()
    operation: Operation | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file that the manifest names."""
        return {self.index.name: self.index.size, **{shard.name: shard.size for shard in self.shards}}

    def to_bytes(self) -> bytes:
        """The bytes of `manifest.json`; `operation` is there only where there is one."""
        value = asdict(self)
        if self.operation is None:
            del value["operation"]
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_manifest(folder: Path) -> tuple[Manifest, bytes]:
    """The manifest of a data set folder and the bytes it was read from.

    Raises:
        ShardError: the folder holds no data set, a damaged manifest, or one of another format version.
    """
    data = manifest_bytes(folder)
    return parse_manifest(data, place=str(folder)), data


def manifest_bytes(folder: Path) -> bytes:
    """The bytes of a folder's manifest. Raises ShardError where there is no data set."""
    try:
        return (folder / MANIFEST_NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ShardError(f"there is no data set here (no {MANIFEST_NAME}).", path=folder, hint=_hint(folder)) from None


def _hint(folder: Path) -> str:
    if (folder / ".ingest").is_dir():
        return "It is unfinished: run the command that makes it (`vpdata ingest`, `vpdata merge`, …) again."
    if (folder / ".pull").is_dir():
        return "Its download is unfinished: run the same `vpdata pull` again."
    if (folder / ".repair").is_dir():
        return "Its repair is unfinished: run the same `vpdata repair` again."
    return "Make one with `vpdata ingest`."


def parse_manifest(data: bytes, *, place: str) -> Manifest:
    """What the bytes of a `manifest.json` say; `place` is the folder or URL that they come from, for messages.

    Raises:
        ShardError: they are damaged, or of another format version.
    """
    where = f"{place}/{MANIFEST_NAME}"
    try:
        value = json.loads(data)
        version = value["format_version"]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(where) from error
    if version != FORMAT_VERSION:
        raise ShardError(
            f"format version {version}, but this vpdata reads version {FORMAT_VERSION}.",
            path=where,
            hint="Use the vpdata that made it, or ingest the recordings again into a new folder.",
        )
    try:
        return _from_json(value)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(where) from error


def _damaged(path: str) -> ShardError:
    return ShardError(
        "the manifest is damaged.", path=path, hint="Restore it, or let `vpdata repair` keep what is whole."
    )


def _from_json(value: Mapping[str, Any]) -> Manifest:
    rebuilt = {
        "shards": tuple(ShardInfo(**shard) for shard in value["shards"]),
        "index": FileInfo(**value["index"]),
        "statistics": {space: ArrayStatistics.from_json(stats) for space, stats in value["statistics"].items()},
        "skipped": tuple(Skipped(**skipped) for skipped in value["skipped"]),
        "dropped": tuple(Dropped(**dropped) for dropped in value["dropped"]),
        "operation": _operation(value.get("operation")),
    }
    return Manifest(**{**value, **rebuilt})


def _operation(value: Mapping[str, Any] | None) -> Operation | None:
    if value is None:
        return None
    inputs = tuple(Input(**{**one, "operation": _operation(one["operation"])}) for one in value["inputs"])
    return Operation(**{**value, "inputs": inputs})
