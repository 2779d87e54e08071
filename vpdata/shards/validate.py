"""A data set folder in, everything that is wrong with it out.

The layout of a shard follows from the index to the byte: a shard is compared with what it must be, not parsed.
"""

import io
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vpdata import codecs
from vpdata.clips.encode import ACTIONS, PROVENANCE, STATE, provenance_of
from vpdata.errors import ShardError
from vpdata.schema import Clip, Member
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import sha256_of
from vpdata.shards.manifest import INDEX_NAME, MANIFEST_NAME, Manifest, ShardInfo, read_manifest
from vpdata.shards.tar import END, header, padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: the file it is in, the clip (empty for the whole file), and what."""

    file: str
    key: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked, and every problem found."""

    path: Path
    num_shards: int
    num_clips: int
    num_bytes: int
    problems: tuple[Problem, ...]


def validate(
    path: Path, *, decode: bool = False, workers: int = 1, progress: Callable[[int], object] = lambda _: None
) -> Report:
    """Checks a data set: digests, tar structure, every member's CRC-32, and that manifest and index agree.

    Args:
        path: the data set folder.
        decode: also decode every frame and array and compare counts and shapes with the index.
        workers: shards checked at once.
        progress: called with 1 after each shard.

    Raises:
        ShardError: there is no manifest to check against, or it is of another format version.
    """
    manifest, _ = read_manifest(path)
    problems = list(_stray_files(path, manifest))
    clips: tuple[Clip, ...] = ()
    by_shard: dict[str, list[Clip]] = defaultdict(list)
    try:
        clips = Dataset.open(path).clips
    except ShardError as error:
        problems.append(Problem(file=INDEX_NAME, key="", what=f"{error.what} Only the shards' digests are checked."))
    else:
        for clip in clips:
            by_shard[clip.shard].append(clip)
        problems.extend(_disagreements(manifest, clips, by_shard))

    def check(shard: ShardInfo) -> list[Problem]:
        found = list(_check_shard(path / shard.name, shard, by_shard[shard.name], manifest, decode=decode))
        progress(1)
        return found

    with ThreadPoolExecutor(workers) as pool:  # hashing and decoding release the GIL
        for found in pool.map(check, manifest.shards):
            problems.extend(found)
    return Report(
        path=path,
        num_shards=len(manifest.shards),
        num_clips=len(clips),
        num_bytes=sum(shard.size for shard in manifest.shards),
        problems=tuple(problems),
    )


def _stray_files(path: Path, manifest: Manifest) -> Iterator[Problem]:
    known = {MANIFEST_NAME, INDEX_NAME, *(shard.name for shard in manifest.shards)}
    for entry in sorted(path.iterdir()):
        if entry.name not in known:
            yield Problem(file=entry.name, key="", what="is not part of this data set.")


def _disagreements(manifest: Manifest, clips: Sequence[Clip], by_shard: dict[str, list[Clip]]) -> Iterator[Problem]:
    in_index = partial(Problem, file=INDEX_NAME)
    in_manifest = partial(Problem, file=MANIFEST_NAME)
    for key, count in Counter(clip.key for clip in clips).items():
        if count > 1:
            yield in_index(key=key, what=f"occurs {count} times.")
    for shard in sorted(by_shard.keys() - {shard.name for shard in manifest.shards}):
        yield in_index(key="", what=f"names {shard}, which the manifest does not.")
    for info in manifest.shards:
        found = (len(by_shard[info.name]), sum(clip.num_frames for clip in by_shard[info.name]))
        if found != (info.num_clips, info.num_frames):
            said = f"{info.num_clips} clips and {info.num_frames} frames"
            yield in_manifest(key="", what=f"says {info.name} has {said}, the index {found[0]} and {found[1]}.")
    episodes = {clip.episode.content_digest: clip.episode for clip in clips}
    counts = {
        "num_clips": len(clips),
        "num_episodes": len(episodes),
        "num_frames": sum(clip.num_frames for clip in clips),
        "num_labelled_clips": sum(clip.num_actions > 0 for clip in clips),
    }
    for name, count in counts.items():
        if getattr(manifest, name) != count:
            yield in_manifest(key="", what=f"says {name} is {getattr(manifest, name)}, the index {count}.")
    next_start: dict[str, int] = defaultdict(int)
    for clip in clips:
        if clip.span.start != next_start[clip.episode.content_digest] or clip.span.stop > clip.episode.num_frames:
            yield in_index(key=clip.key, what="does not begin where the episode's last clip ends.")
        next_start[clip.episode.content_digest] = clip.span.start + clip.span.num_starts
    for digest, episode in episodes.items():
        if next_start[digest] != episode.num_frames:
            where = f"{episode.file}, {episode.episode_id}"
            yield in_index(key="", what=f"{where}: {next_start[digest]} of {episode.num_frames} window starts.")


def _check_shard(
    path: Path, shard: ShardInfo, clips: Sequence[Clip], manifest: Manifest, *, decode: bool
) -> Iterator[Problem]:
    problem = partial(Problem, file=shard.name)
    if not path.is_file():
        yield problem(key="", what="is missing.")
        return
    size = path.stat().st_size
    if size != shard.size:
        yield problem(key="", what=f"has {size} bytes, the manifest says {shard.size}.")
    if sha256_of(path) != shard.sha256:
        yield problem(key="", what="its SHA-256 is not the manifest's.")
    if not clips:
        return
    position = 0
    with path.open("rb") as file:
        for clip in clips:
            contents: dict[str, bytes] = {}
            for member in clip.members:
                if what := _check_member(file, clip, member, contents, position=position):
                    yield problem(key=clip.key, what=what)
                position = member.offset + member.size + len(padding(member.size))
            for what in _check_contents(clip, contents, manifest, decode=decode):
                yield problem(key=clip.key, what=what)
        file.seek(position)
        if file.read() != END:
            yield problem(key="", what="does not end after the last clip.")


def _check_member(file: BinaryIO, clip: Clip, member: Member, contents: dict[str, bytes], *, position: int) -> str:
    """Adds the data of a sound member to `contents`; returns what is wrong with it, or nothing."""
    expected = header(clip.key, member.name, size=member.size)
    file.seek(position)
    if file.read(len(expected)) != expected or member.offset != position + len(expected):
        return f"the tar header of {member.name} is damaged or elsewhere."
    data = file.read(member.size)
    if len(data) != member.size:
        return f"{member.name} is cut off after {len(data)} of {member.size} bytes."
    if zlib.crc32(data) != member.crc32:
        return f"{member.name} is damaged (its CRC-32 is not the index's)."
    fill = padding(member.size)
    if file.read(len(fill)) != fill:
        return f"the padding after {member.name} is damaged."
    contents[member.name] = data
    return ""


def _check_contents(clip: Clip, contents: dict[str, bytes], manifest: Manifest, *, decode: bool) -> Iterator[str]:
    codec = codecs.load(clip.codec)
    videos = {f"{camera.name}.{codec.extension}": camera for camera in clip.episode.cameras}
    arrays: dict[str, tuple[int, str]] = {}
    if clip.num_actions and clip.episode.action_space:
        arrays[ACTIONS] = (clip.num_actions, clip.episode.action_space)
    if clip.episode.state_space:
        arrays[STATE] = (clip.num_frames, clip.episode.state_space)
    named, expected = {member.name for member in clip.members}, {*videos, *arrays, PROVENANCE}
    if named != expected:
        yield f"has members {sorted(named)}, expected {sorted(expected)}."
        return
    if PROVENANCE in contents and contents[PROVENANCE] != provenance_of(clip, tool_version=manifest.tool_version):
        yield "json does not say what the index says."
    if not decode:
        return
    for name in videos.keys() & contents.keys():
        try:
            count = codec.count(contents[name])
            codec.decode(contents[name], [0], height=videos[name].height, width=videos[name].width)
        except ShardError as error:
            yield f"{name}: {error.what}"
            continue
        if count != clip.num_frames:
            yield f"{name} has {count} frames, the index says {clip.num_frames}."
    for name in arrays.keys() & contents.keys():
        num_rows, space = arrays[name]
        expected_shape = (num_rows, len(manifest.statistics[space].mean))
        shape = np.load(io.BytesIO(contents[name]), allow_pickle=False).shape
        if shape != expected_shape:
            yield f"{name} has shape {shape}, the index and statistics say {expected_shape}."
