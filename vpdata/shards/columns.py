"""Clips in, the bytes of `index.parquet` out: one row a clip, and the columns that `docs/FORMAT.md` describes."""

import io
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vpdata.schema import Clip, Episode


def _lists(value_type: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", value_type, nullable=False))


SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("start_frame", pa.int32(), nullable=False),
        pa.field("stop_frame", pa.int32(), nullable=False),
        pa.field("num_starts", pa.int32(), nullable=False),
        pa.field("num_actions", pa.int32(), nullable=False),
        pa.field("codec", pa.string(), nullable=False),
        pa.field("member_names", pa.string(), nullable=False),
        pa.field("member_offsets", _lists(pa.int64()), nullable=False),
        pa.field("member_sizes", _lists(pa.int64()), nullable=False),
        pa.field("member_crc32s", _lists(pa.uint32()), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("content_digest", pa.string(), nullable=False),
        pa.field("episode_num_frames", pa.int32(), nullable=False),
        pa.field("episode_num_actions", pa.int32(), nullable=False),
        pa.field("fps", pa.float64(), nullable=False),
        pa.field("cameras", pa.string(), nullable=False),
        pa.field("action_space", pa.string(), nullable=False),
        pa.field("state_space", pa.string(), nullable=False),
        pa.field("instructions", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("attributes", pa.string(), nullable=False),
    ]
)
NUMBERS = tuple(field.name for field in SCHEMA if pa.types.is_integer(field.type))
TEXT = tuple(field.name for field in SCHEMA if pa.types.is_string(field.type) and field.name != "key")
"""Text that many clips have in common, and that is therefore stored and read as a dictionary."""

_LISTS = tuple(f"{name}.list.element" for name in ("member_offsets", "member_sizes"))
_AT_ONCE = 10_000
_ROW_GROUP = 1 << 20
_DICTIONARY_BYTES = 1 << 30


def to_parquet(clips: Iterable[Clip]) -> bytes:
    """The bytes of the index; equal clips give equal bytes under one version of pyarrow."""
    schema = pa.schema(
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in TEXT else field for field in SCHEMA
    )
    rows, batches = _rows(clips), []
    while some := list(islice(rows, _AT_ONCE)):
        batches.append(pa.Table.from_pylist(some, schema=schema))
    return table_to_parquet(pa.concat_tables(batches) if batches else schema.empty_table())


def table_to_parquet(table: pa.Table) -> bytes:
    """The bytes of an index with these rows; text is there as dictionaries, each with the texts in order of occurrence.

    Equal rows give equal bytes, whether as a table or as clips.
    """
    chunks = [table.slice(first, _AT_ONCE).combine_chunks() for first in range(0, len(table), _AT_ONCE)]
    table = pa.concat_tables(chunks or [table]).unify_dictionaries()
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=_ROW_GROUP,
        compression="zstd",
        use_dictionary=list(TEXT),
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
        column_encoding=dict.fromkeys(_LISTS, "DELTA_BINARY_PACKED"),
        store_schema=False,
    )
    return buffer.getvalue()


def _rows(clips: Iterable[Clip]) -> Iterable[dict[str, Any]]:
    episode, of_episode = None, dict[str, Any]()
    for clip in clips:
        if clip.episode is not episode:
            episode, of_episode = clip.episode, _episode_columns(clip.episode)
        yield {
            "key": clip.key,
            "shard": clip.shard,
            "start_frame": clip.span.start,
            "stop_frame": clip.span.stop,
            "num_starts": clip.span.num_starts,
            "num_actions": clip.num_actions,
            "codec": clip.codec,
            "member_names": _json([member.name for member in clip.members]),
            "member_offsets": [member.offset for member in clip.members],
            "member_sizes": [member.size for member in clip.members],
            "member_crc32s": [member.crc32 for member in clip.members],
            **of_episode,
        }


def _episode_columns(episode: Episode) -> dict[str, Any]:
    return {
        "source": episode.source,
        "file": episode.file,
        "episode_id": episode.episode_id,
        "content_digest": episode.content_digest,
        "episode_num_frames": episode.num_frames,
        "episode_num_actions": episode.num_actions,
        "fps": episode.fps,
        "cameras": _json(
            [
                {"name": c.name, "recorded_name": c.recorded_name, "height": c.height, "width": c.width}
                for c in episode.cameras
            ]
        ),
        "action_space": episode.action_space or "",
        "state_space": episode.state_space or "",
        "instructions": _json(list(episode.instructions)),
        "task": episode.task,
        "attributes": _json(dict(sorted(episode.attributes.items()))),
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
