"""Shards and what the index says they hold in; what is wrong with them, and the statistics of sound clips, out.

The layout of a shard follows from the index to the byte: a shard is compared with what it must be, not parsed.
"""

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

from vpdata import codecs
from vpdata.clips.encode import ACTIONS, PROVENANCE, STATE, provenance_of
from vpdata.clips.latents import LATENTS, latents_member, num_variants
from vpdata.errors import ShardError, VpdataError
from vpdata.schema import Camera, Clip
from vpdata.shards.arrays import OwnedRows
from vpdata.shards.files import sha256_of
from vpdata.shards.tar import END, header, padding
from vpdata.stats import ArrayStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: the file it is in, the clip (empty for the whole file), and what."""

    file: str
    key: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """A shard to check.

    Attributes:
        path: the shard.
        size, sha256: what the manifest says of the file; None where there is no manifest to say it.
        clips: what the index says it holds, in order; none where there is no index, and only the file is checked.
        num_dimensions: space name -> values in a row of its arrays, where the manifest says so.
        tool_version: the version that every `json` names.
        decode: also decode every frame.
    """

    path: Path
    size: int | None
    sha256: str | None
    clips: tuple[Clip, ...]
    num_dimensions: Mapping[str, int]
    tool_version: str
    decode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCheck:
    """What was found in one shard.

    Attributes:
        name: the shard.
        problems: all of them.
        lost: place of a clip in the shard -> why it cannot be used; the others can, even where a header is damaged.
        statistics: by space name, of the rows of the clips that are not lost.
    """

    name: str
    problems: tuple[Problem, ...]
    lost: Mapping[int, str]
    statistics: Mapping[str, ArrayStatistics]


def check_shards(
    tasks: Iterable[ShardTask], *, workers: int, progress: Callable[[int], object]
) -> Iterator[ShardCheck]:
    """Checks shards, `workers` at once in processes (one: in this one), in order; calls `progress(1)` after each.

    Tasks are taken from `tasks` only as processes become free, so that no more than a few are in memory.

    Raises:
        VpdataError: a process was killed.
    """
    if workers == 1:
        for task in tasks:
            found = check_shard(task)
            progress(1)
            yield found
        return
    coming = iter(tasks)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            waiting: deque[Future[ShardCheck]] = deque(
                pool.submit(check_shard, task) for task in islice(coming, 2 * workers)
            )
            while waiting:
                found = waiting.popleft().result()
                waiting.extend(pool.submit(check_shard, task) for task in islice(coming, 1))
                progress(1)
                yield found
        except BrokenProcessPool:
            what = "a process that checks shards was killed, most likely because memory ran out."
            raise VpdataError(what, hint="Run it again where more memory is free.") from None
        finally:
            pool.shutdown(cancel_futures=True)


def check_shard(task: ShardTask) -> ShardCheck:
    """Compares one shard with what the manifest and the index say of it."""
    name = task.path.name
    problems: list[Problem] = []
    lost: dict[int, str] = {}
    rows = OwnedRows()

    def note(what: str, key: str = "") -> None:
        problems.append(Problem(file=name, key=key, what=what))

    if not task.path.is_file():
        note("is missing.")
        lost = dict.fromkeys(range(len(task.clips)), "the shard is missing.")
        return ShardCheck(name=name, problems=tuple(problems), lost=lost, statistics=rows.statistics())
    size = task.path.stat().st_size
    if task.size is not None and size != task.size:
        note(f"has {size} bytes, the manifest says {task.size}.")
    if task.sha256 is not None and sha256_of(task.path) != task.sha256:
        note("its SHA-256 is not the manifest's.")
    position = 0
    with task.path.open("rb") as file:
        for place, clip in enumerate(task.clips):
            contents, reasons = read_clip(file, clip)
            reasons.extend(_check_contents(clip, contents, task))
            for what in (*_flaws(file, clip, position=position), *reasons):
                note(what, clip.key)
            if reasons:
                lost[place] = " ".join(reasons)
            else:
                rows.add(clip.episode, clip.span, contents)
            position = end_of(clip)
        file.seek(position)
        if task.clips and file.read() != END:
            note("does not end after the last clip.")
    return ShardCheck(name=name, problems=tuple(problems), lost=lost, statistics=rows.statistics())


def read_clip(file: BinaryIO, clip: Clip) -> tuple[dict[str, bytes], list[str]]:
    """The sound members of a clip in an open shard by name, and what is wrong with the others."""
    contents: dict[str, bytes] = {}
    reasons: list[str] = []
    for member in clip.members:
        file.seek(member.offset)
        data = file.read(member.size)
        if len(data) != member.size:
            reasons.append(f"{member.name} is cut off after {len(data)} of {member.size} bytes.")
        elif isal_zlib.crc32(data) != member.crc32:
            reasons.append(f"{member.name} is damaged (its CRC-32 is not the index's).")
        else:
            contents[member.name] = data
    return contents, reasons


def end_of(clip: Clip) -> int:
    """The byte of the shard after a clip's last member with its padding."""
    last = clip.members[-1]
    return last.offset + last.size + len(padding(last.size))


def expected_members(clip: Clip) -> tuple[dict[str, Camera], dict[str, tuple[int, str]]]:
    """What a clip has beside its `json`: camera by video member, and (rows, space name) by array member.

    Latents are arrays of no space.
    """
    arrays: dict[str, tuple[int, str]] = {}
    if clip.num_actions and clip.episode.action_space:
        arrays[ACTIONS] = (clip.num_actions, clip.episode.action_space)
    if clip.episode.state_space:
        arrays[STATE] = (clip.num_frames, clip.episode.state_space)
    if clip.codec == LATENTS:
        for camera in clip.episode.cameras:
            for variant in range(num_variants(clip)):
                arrays[latents_member(camera.name, variant)] = (clip.num_frames, "")
        return {}, arrays
    extension = codecs.load(clip.codec).extension
    return {f"{camera.name}.{extension}": camera for camera in clip.episode.cameras}, arrays


def _flaws(file: BinaryIO, clip: Clip, *, position: int) -> Iterator[str]:
    """What is wrong around a clip's data, which may be sound nevertheless; the clip begins at `position`."""
    for member in clip.members:
        expected = header(clip.key, member.name, size=member.size)
        file.seek(position)
        if file.read(len(expected)) != expected or member.offset != position + len(expected):
            yield f"the tar header of {member.name} is damaged or elsewhere."
        position = member.offset + member.size
        fill = padding(member.size)
        file.seek(position)
        if file.read(len(fill)) != fill:
            yield f"the padding after {member.name} is damaged."
        position += len(fill)


def _check_contents(clip: Clip, contents: Mapping[str, bytes], task: ShardTask) -> Iterator[str]:
    videos, arrays = expected_members(clip)
    named, expected = {member.name for member in clip.members}, {*videos, *arrays, PROVENANCE}
    if named != expected:
        yield f"has members {sorted(named)}, expected {sorted(expected)}."
        return
    if PROVENANCE in contents and contents[PROVENANCE] != provenance_of(clip, tool_version=task.tool_version):
        yield "json does not say what the index says."
    for name in arrays.keys() & contents.keys():
        num_rows, space = arrays[name]
        try:
            shape = np.load(io.BytesIO(contents[name]), allow_pickle=False).shape
        except (ValueError, EOFError) as error:
            yield f"{name} does not load ({error})."
            continue
        num_dimensions = task.num_dimensions.get(space)
        expected_shape = (num_rows, *(shape[1:] if num_dimensions is None else (num_dimensions,)))
        if shape != expected_shape:
            yield f"{name} has shape {shape}, the index and statistics say {expected_shape}."
    if task.decode and videos:
        yield from _decode(clip, {name: contents[name] for name in videos.keys() & contents.keys()}, videos)


def _decode(clip: Clip, contents: Mapping[str, bytes], videos: Mapping[str, Camera]) -> Iterator[str]:
    codec = codecs.load(clip.codec)
    for name, data in sorted(contents.items()):
        try:
            count = codec.count(data)
            codec.decode(data, [0], height=videos[name].height, width=videos[name].width)
        except ShardError as error:
            yield f"{name}: {error.what}"
            continue
        if count != clip.num_frames:
            yield f"{name} has {count} frames, the index says {clip.num_frames}."
