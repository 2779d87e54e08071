"""A damaged data set folder in; its manifest and index out, made again where they are gone."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vpdata.clips.encode import PROVENANCE
from vpdata.errors import ShardError
from vpdata.shards.check import read_clip
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import sha256_of
from vpdata.shards.index import Index, to_parquet
from vpdata.shards.manifest import (
    FORMAT_VERSION,
    INDEX_NAME,
    MANIFEST_NAME,
    FileInfo,
    Manifest,
    ShardInfo,
    manifest_bytes,
    parse_manifest,
)
from vpdata.shards.scan import recover


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """What is known of a data set.

    Attributes:
        manifest: the one that was found, or one made again, whose statistics and durations are empty.
        manifest_digest: hex SHA-256 of the `manifest.json` that was found, "" where there was none.
        has_manifest, has_index: whether they were found whole.
        index: found or made again.
        num_incomplete: clips in pieces that were passed over where the index was made again.
    """

    manifest: Manifest
    manifest_digest: str
    has_manifest: bool
    index: Index
    has_index: bool
    num_incomplete: int


def salvage(path: Path) -> Salvaged:
    """The manifest and the index of a data set.

    Raises:
        ShardError: there is no data set, it is of another format version, or no clip is left of it.
    """
    data = b""
    try:
        data = manifest_bytes(path)
        manifest = parse_manifest(data, place=str(path))
    except ShardError:
        if not _is_damaged(path, data):
            raise
        return _without_manifest(path, digest=hashlib.sha256(data).hexdigest() if data else "")
    digest = hashlib.sha256(data).hexdigest()
    try:
        index, num_incomplete, has_index = Dataset.open(path).index, 0, True
    except ShardError:
        shards = [path / shard.name for shard in manifest.shards]
        index, _, num_incomplete = _rebuilt(path, [shard for shard in shards if shard.is_file()])
        has_index = False
    return Salvaged(
        manifest=manifest,
        manifest_digest=digest,
        has_manifest=True,
        index=index,
        has_index=has_index,
        num_incomplete=num_incomplete,
    )


def _is_damaged(path: Path, data: bytes) -> bool:
    """Whether there is a data set whose manifest is damaged or gone; not an unfinished one, nor of another version."""
    try:
        version = json.loads(data)["format_version"]
    except (ValueError, TypeError, KeyError):
        version = None
    other_version = isinstance(version, int) and version != FORMAT_VERSION
    return not other_version and not (path / ".ingest").exists() and any(path.glob("shard-*.tar"))


def _without_manifest(path: Path, *, digest: str) -> Salvaged:
    index_path = next(iter(sorted(path.glob("index*.parquet"))), path / INDEX_NAME)
    num_incomplete, info = 0, FileInfo(name=INDEX_NAME, size=0, sha256="")
    index = _read(index_path)
    has_index = index is not None
    if index is None:
        index, tool_version, num_incomplete = _rebuilt(path, sorted(path.glob("shard-*.tar")))
    else:
        tool_version = _tool_version(path, index)
        info = FileInfo(name=index_path.name, size=index_path.stat().st_size, sha256=sha256_of(index_path))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        source=index.codes("source").values[0],
        options={},
        plan_digest="",
        shards=tuple(_shard_info(path / name, index) for name in index.codes("shard").values),
        index=info,
        num_episodes=0,
        num_clips=0,
        num_frames=0,
        num_labelled_clips=0,
        duration_seconds=0.0,
        statistics={},
        skipped=(),
    )
    return Salvaged(
        manifest=manifest,
        manifest_digest=digest,
        has_manifest=False,
        index=index,
        has_index=has_index,
        num_incomplete=num_incomplete,
    )


def _shard_info(path: Path, index: Index) -> ShardInfo:
    rows = index.rows_of(path.name)
    num_frames = int((index.numbers("stop_frame") - index.numbers("start_frame"))[rows.start : rows.stop].sum())
    there = path.is_file()
    return ShardInfo(
        name=path.name,
        size=path.stat().st_size if there else 0,
        sha256=sha256_of(path) if there else "",
        num_clips=len(rows),
        num_frames=num_frames,
    )


def _read(path: Path) -> Index | None:
    """The index in a file that nothing vouches for, None where it does not read."""
    try:
        index = Index(path.read_bytes())
        index.clip(len(index) - 1)
    except (OSError, pa.ArrowException, ValueError, KeyError, IndexError):
        return None
    return index


def _rebuilt(path: Path, shards: list[Path]) -> tuple[Index, str, int]:
    """The index, the vpdata that made the clips, and the number of clips in pieces."""
    recovered = recover(shards)
    if not recovered.clips:
        what = "nothing is left of this data set: no clip lies whole in its shards."
        raise ShardError(what, path=path, hint="Ingest the recordings again into a new folder.")
    return Index(to_parquet(recovered.clips)), recovered.tool_version, recovered.num_incomplete


def _tool_version(path: Path, index: Index) -> str:
    """The vpdata that made the clips, from the first `json` that reads."""
    for row in range(len(index)):
        clip = index.clip(row)
        if (path / clip.shard).is_file():
            with (path / clip.shard).open("rb") as file:
                contents, _ = read_clip(file, clip)
            if PROVENANCE in contents:
                return str(json.loads(contents[PROVENANCE])["tool_version"])
    raise ShardError("nothing is left of this data set: no clip reads.", path=path, hint=f"Restore {MANIFEST_NAME}.")
