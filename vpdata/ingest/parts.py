"""A planned shard in, the parts out that workers encode one by one; finished parts in, their shard out.

Whole shards would leave processors idle at the end of an ingest, and all but one in a small one. A part is some
episodes of a shard in a row, never a piece of an episode, as sources read an episode best from its start to its end.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from vpdata.ingest.plan import PlannedClip, PlannedShard
from vpdata.shards.arrays import OwnedRows
from vpdata.shards.staging import Staging

PART_FRAMES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some clips of a shard in a row, and the name of the file in the staging folder that holds them."""

    name: str
    clips: tuple[PlannedClip, ...]

    @property
    def camera_frames(self) -> int:
        """Frames to encode, of all cameras together."""
        return sum(clip.camera_frames for clip in self.clips)


def parts_of(shard: PlannedShard) -> tuple[Part, ...]:
    """The parts in order: a part takes episodes until it has `PART_FRAMES` frames."""
    parts: list[Part] = []
    clips: list[PlannedClip] = []
    for _, episode in groupby(shard.clips, key=lambda clip: clip.episode.content_digest):
        clips += episode
        if sum(clip.camera_frames for clip in clips) >= PART_FRAMES:
            parts.append(Part(name=f"{shard.name}.part{len(parts):03d}", clips=tuple(clips)))
            clips = []
    if clips:
        parts.append(Part(name=f"{shard.name}.part{len(parts):03d}", clips=tuple(clips)))
    return tuple(parts)


def joined(staging: Staging, shard: PlannedShard, rows: OwnedRows) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Key and members of every clip of a shard whose parts are all finished; adds the rows that it owns."""
    for part in parts_of(shard):
        with (staging.folder / part.name).open("rb") as file:
            for clip, members in zip(part.clips, staging.journal(part.name).members, strict=True):
                contents = {m.name: os.pread(file.fileno(), m.size, m.offset) for m in members}
                rows.add(clip.episode, clip.span, contents)
                yield clip.key, contents
