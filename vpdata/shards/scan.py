"""Shards without an index in, the clips that lie whole in them out.

A shard is searched block by block for headers as `vpdata.shards.tar` writes them, so that damage costs no more than the
clip it is in. What a clip shows comes from its `json`. CRC-32s are those of the bytes found: nothing can vouch for them
but the manifest's SHA-256 of the shard.
"""

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from isal import isal_zlib

from vpdata.clips.encode import PROVENANCE, provenance_of
from vpdata.schema import Camera, Clip, Episode, Member, Span
from vpdata.shards.check import expected_members
from vpdata.shards.tar import BLOCK, header, padding

FIELDS = frozenset(
    {"source", "file", "episode_id", "content_digest", "episode_num_frames", "start_frame", "stop_frame", "num_starts"}
    | {"num_actions", "fps", "cameras", "action_space", "state_space", "instructions", "task", "attributes", "codec"}
    | {"tool_version"}
)
"""Of a clip's `json`, as `vpdata.clips.encode.provenance` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The clips in the order of their shards, the vpdata that made the first, and how many were left in pieces."""

    clips: tuple[Clip, ...]
    tool_version: str
    num_incomplete: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The members that stand together under one key, and the bytes of their `json`."""

    shard: str
    key: str
    members: tuple[Member, ...]
    provenance: bytes


def recover(shards: Sequence[Path]) -> Recovered:
    """Reads every byte of the shards; returns the clips that have all their members and a `json` that fits them."""
    found = [one for path in shards for one in _clips_in(path)]
    num_actions: dict[str, int] = {}  # of each episode, which no `json` says: as far as the clips that are left show
    tool_version = ""
    for one in found:
        if record := _record(one):
            digest, actions = record["content_digest"], record["num_actions"]
            least = record["start_frame"] + actions if actions else int(record["action_space"] is not None)
            num_actions[digest] = max(num_actions.get(digest, 0), least)
            tool_version = tool_version or record["tool_version"]
    clips = tuple(clip for one in found if (clip := _clip(one, num_actions)) is not None)
    return Recovered(clips=clips, tool_version=tool_version, num_incomplete=len(found) - len(clips))


def _clips_in(path: Path) -> Iterator[_Found]:
    with path.open("rb") as file:
        for key, group in groupby(_members(file, path.stat().st_size), key=lambda item: item[0]):
            members = tuple(member for _, member in group)
            provenance = b""
            for member in members:
                if member.name == PROVENANCE:
                    file.seek(member.offset)
                    provenance = file.read(member.size)
            yield _Found(shard=path.name, key=key, members=members, provenance=provenance)


def _members(file: BinaryIO, size: int) -> Iterator[tuple[str, Member]]:
    """Keys and members in order; what is no header is passed over block by block."""
    position = 0
    while position < size:
        found = _header_at(file, position)
        if found is None:
            position += BLOCK
            continue
        key, name, num_bytes, offset = found
        file.seek(offset)
        data = file.read(num_bytes)
        if len(data) == num_bytes:
            yield key, Member(name=name, offset=offset, size=num_bytes, crc32=isal_zlib.crc32(data))
        position = offset + num_bytes + len(padding(num_bytes))


def _header_at(file: BinaryIO, position: int) -> tuple[str, str, int, int] | None:
    """Key, member, its size and where its data begin, if a header that this project writes stands there."""
    file.seek(position)
    try:
        info = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "strict")
        path = info.name
        if info.type == tarfile.XHDTYPE:
            path = (
                file.read(info.size + len(padding(info.size)))[: info.size].decode().partition(" path=")[2].rstrip("\n")
            )
            info = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError):
        return None
    key, _, name = path.partition(".")
    expected = header(key, name, size=info.size)
    file.seek(position)
    return (key, name, info.size, position + len(expected)) if file.read(len(expected)) == expected else None


def _record(found: _Found) -> dict[str, Any]:
    """The object in the clip's `json`, empty where there is none with the fields of one."""
    try:
        record = json.loads(found.provenance)
    except ValueError:
        return {}
    return record if isinstance(record, dict) and record.keys() == FIELDS else {}


def _clip(found: _Found, num_actions: dict[str, int]) -> Clip | None:
    """The clip's record, None where its `json` and its members do not fit together."""
    record = _record(found)
    try:
        episode = Episode(
            source=record["source"],
            file=record["file"],
            episode_id=record["episode_id"],
            content_digest=record["content_digest"],
            num_frames=record["episode_num_frames"],
            num_actions=num_actions[record["content_digest"]],
            fps=record["fps"],
            cameras=tuple(Camera(**camera) for camera in record["cameras"]),
            action_space=record["action_space"],
            state_space=record["state_space"],
            instructions=tuple(record["instructions"]),
            task=record["task"],
            attributes=record["attributes"],
        )
        span = Span(start=record["start_frame"], stop=record["stop_frame"], num_starts=record["num_starts"])
        clip = Clip(
            key=found.key,
            shard=found.shard,
            episode=episode,
            span=span,
            num_actions=record["num_actions"],
            codec=record["codec"],
            members=found.members,
        )
        videos, arrays = expected_members(clip)
        whole = {member.name for member in clip.members} == {*videos, *arrays, PROVENANCE}
        fits = found.provenance == provenance_of(clip, tool_version=record["tool_version"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return clip if whole and fits else None
