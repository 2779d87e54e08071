"""A part of a planned shard in, a finished part in the staging folder out, and the shard after its last part.

Runs in a process of its own.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import av
import numpy as np
import PIL

from vpdata import __version__, sources
from vpdata.clips.encode import encode_clip
from vpdata.errors import VpdataError
from vpdata.ingest.parts import Part, joined, parts_of
from vpdata.ingest.plan import IngestOptions, PlannedClip, PlannedShard, content_key
from vpdata.shards.arrays import OwnedRows
from vpdata.shards.files import full_disk_as_error
from vpdata.shards.staging import Journal, Staging
from vpdata.shards.tar import WrittenShard, write_shard
from vpdata.stats import ArrayStatistics

VERSIONS = {
    "vpdata": __version__,
    "av": av.__version__,
    "ffmpeg": av.library_versions,
    "numpy": np.__version__,
    "pillow": PIL.__version__,
    "simplejpeg": version("simplejpeg"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker is told; with `keep_going` it finds every bad episode of the part, not just the first."""

    source: str
    shard: PlannedShard
    part: Part
    options: IngestOptions
    out: Path
    keep_going: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An episode that cannot be encoded, and why."""

    clip: PlannedClip
    error: VpdataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ended: the part is finished, or episodes failed and nothing was written."""

    failures: tuple[Failure, ...]


class _Abandoned(Exception):
    """Ends the writing of a shard that will not be kept."""


def work(connection: Connection) -> None:
    """A worker's whole life: for each `Task` received, sends the camera frames of each clip done, then the `Outcome`.

    A `VpdataError` is sent as the answer; any other exception ends the process.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        task: Task = connection.recv()
        with Staging(task.out).working():
            if not _parent().is_alive():  # or a later ingest could have found nobody working, and begun
                return
            try:
                connection.send(carry_out(task, progress=connection.send))
            except VpdataError as error:
                connection.send(error)


def _end_with_parent() -> None:
    _parent().join()
    os._exit(1)


def _parent() -> BaseProcess:
    parent = multiprocessing.parent_process()
    assert parent is not None
    return parent


def bytes_key(clips: Sequence[PlannedClip], options: IngestOptions) -> str:
    """Hex SHA-256 of everything that decides the bytes of a shard or part, the versions of the encoders included."""
    return content_key(options, clips, extra=VERSIONS)


def carry_out(task: Task, *, progress: Callable[[int], object]) -> Outcome:
    """Encodes a part unless it is finished, and makes the shard if that was the last one; both are journaled.

    `progress` gets the camera frames of each clip as it is encoded.

    Raises:
        VpdataError: the disk is full.
    """
    staging = Staging(task.out)
    with full_disk_as_error(task.out):
        if not staging.has_journal(task.part.name):
            failures = _encode_part(task, staging, progress)
            if failures:
                return Outcome(failures=tuple(failures))
        with staging.joining(task.shard.name):
            parts = parts_of(task.shard)
            if all(staging.has_journal(part.name) for part in parts):
                _join(task, staging)
                for part in parts:
                    staging.remove(part.name)
    return Outcome(failures=())


def _encode_part(task: Task, staging: Staging, progress: Callable[[int], object]) -> list[Failure]:
    failures: list[Failure] = []
    try:
        written = write_shard(staging.folder / task.part.name, _contents(task, failures, progress))
    except _Abandoned:
        return failures
    _record(staging, task.part.name, bytes_key(task.part.clips, task.options), written, {})
    return []


def _join(task: Task, staging: Staging) -> None:
    rows = OwnedRows()
    written = write_shard(staging.folder / task.shard.name, joined(staging, task.shard, rows))
    _record(staging, task.shard.name, bytes_key(task.shard.clips, task.options), written, rows.statistics())


def _record(
    staging: Staging, name: str, key: str, written: WrittenShard, statistics: Mapping[str, ArrayStatistics]
) -> None:
    journal = Journal(key=key, size=written.size, sha256=written.sha256, members=written.members, statistics=statistics)
    staging.record(name, journal)


def _contents(
    task: Task, failures: list[Failure], progress: Callable[[int], object]
) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    source = sources.load(task.source)
    for _, group in groupby(task.part.clips, key=lambda clip: clip.episode.content_digest):
        clips = list(group)
        try:
            with source.open(clips[0].file, clips[0].episode, task.options.source) as reader:
                for clip in clips:
                    members = encode_clip(reader, clip.episode, clip.span, task.options.clip, tool_version=__version__)
                    yield clip.key, members
                    progress(clip.camera_frames)
        except VpdataError as error:
            failures.append(Failure(clip=clips[0], error=error))
            if not task.keep_going:
                break
    if failures:
        raise _Abandoned
