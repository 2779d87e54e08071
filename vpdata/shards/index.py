"""Clips in, `index.parquet` out, and back: one row a clip, in the order of the plan."""

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vpdata.schema import Camera, Clip, Episode, Member, Span

_CAMERA = pa.struct(
    [("name", pa.string()), ("recorded_name", pa.string()), ("height", pa.int32()), ("width", pa.int32())]
)
_MEMBER = pa.struct([("name", pa.string()), ("offset", pa.int64()), ("size", pa.int64()), ("crc32", pa.uint32())])

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        ("start_frame", pa.int64()),
        ("stop_frame", pa.int64()),
        ("num_starts", pa.int64()),
        ("num_actions", pa.int64()),
        ("codec", pa.string()),
        ("members", pa.list_(_MEMBER)),
        ("source", pa.string()),
        ("file", pa.string()),
        ("episode_id", pa.string()),
        ("content_digest", pa.string()),
        ("episode_num_frames", pa.int64()),
        ("episode_num_actions", pa.int64()),
        ("fps", pa.float64()),
        ("cameras", pa.list_(_CAMERA)),
        ("action_space", pa.string()),
        ("state_space", pa.string()),
        ("instructions", pa.list_(pa.string())),
        ("task", pa.string()),
        ("attributes", pa.string()),
    ]
)


def to_parquet(clips: Iterable[Clip]) -> bytes:
    """The bytes of the index; equal clips give equal bytes under one version of pyarrow."""
    table = pa.Table.from_pylist([_row(clip) for clip in clips], schema=SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(data: bytes) -> tuple[Clip, ...]:
    """The clips of an index. Clips of one episode share its `Episode`."""
    episodes: dict[str, Episode] = {}
    clips = []
    for row in pq.read_table(io.BytesIO(data), schema=SCHEMA).to_pylist():
        digest = row["content_digest"]
        if digest not in episodes:
            episodes[digest] = _episode(row)
        clips.append(
            Clip(
                key=row["key"],
                shard=row["shard"],
                episode=episodes[digest],
                span=Span(start=row["start_frame"], stop=row["stop_frame"], num_starts=row["num_starts"]),
                num_actions=row["num_actions"],
                codec=row["codec"],
                members=tuple(Member(**member) for member in row["members"]),
            )
        )
    return tuple(clips)


def _row(clip: Clip) -> dict[str, Any]:
    episode = clip.episode
    return {
        "key": clip.key,
        "shard": clip.shard,
        "start_frame": clip.span.start,
        "stop_frame": clip.span.stop,
        "num_starts": clip.span.num_starts,
        "num_actions": clip.num_actions,
        "codec": clip.codec,
        "members": [{"name": m.name, "offset": m.offset, "size": m.size, "crc32": m.crc32} for m in clip.members],
        "source": episode.source,
        "file": episode.file,
        "episode_id": episode.episode_id,
        "content_digest": episode.content_digest,
        "episode_num_frames": episode.num_frames,
        "episode_num_actions": episode.num_actions,
        "fps": episode.fps,
        "cameras": [
            {"name": c.name, "recorded_name": c.recorded_name, "height": c.height, "width": c.width}
            for c in episode.cameras
        ],
        "action_space": episode.action_space,
        "state_space": episode.state_space,
        "instructions": list(episode.instructions),
        "task": episode.task,
        "attributes": json.dumps(dict(episode.attributes), sort_keys=True, ensure_ascii=False),
    }


def _episode(row: Mapping[str, Any]) -> Episode:
    return Episode(
        source=row["source"],
        file=row["file"],
        episode_id=row["episode_id"],
        content_digest=row["content_digest"],
        num_frames=row["episode_num_frames"],
        num_actions=row["episode_num_actions"],
        fps=row["fps"],
        cameras=tuple(Camera(**camera) for camera in row["cameras"]),
        action_space=row["action_space"],
        state_space=row["state_space"],
        instructions=tuple(row["instructions"]),
        task=row["task"],
        attributes=json.loads(row["attributes"]),
    )
