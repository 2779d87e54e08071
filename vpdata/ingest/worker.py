"""One planned shard in, a finished shard in the staging folder out; runs in a process of its own."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
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
from vpdata.ingest.plan import IngestOptions, PlannedClip, PlannedShard, content_key
from vpdata.shards.arrays import add_rows
from vpdata.shards.files import full_disk_as_error
from vpdata.shards.staging import Journal, Staging
from vpdata.shards.tar import write_shard
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
    """What a worker is told; with `keep_going` it finds every bad episode of the shard, not just the first."""

    source: str
    shard: PlannedShard
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
    """How a task ended: the shard is finished and journaled, or episodes failed and nothing was written."""

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
                connection.send(encode_shard(task, progress=connection.send))
            except VpdataError as error:
                connection.send(error)


def _end_with_parent() -> None:
    _parent().join()
    os._exit(1)


def _parent() -> BaseProcess:
    parent = multiprocessing.parent_process()
    assert parent is not None
    return parent


def shard_key(shard: PlannedShard, options: IngestOptions) -> str:
    """Hex SHA-256 of everything that decides the shard's bytes, the versions of the encoders included."""
    return content_key(options, shard.clips, extra=VERSIONS)


def encode_shard(task: Task, *, progress: Callable[[int], object]) -> Outcome:
    """Encodes a shard into the staging folder and journals it; `progress` gets the camera frames of each clip.

    Raises:
        VpdataError: the disk is full.
    """
    staging = Staging(task.out)
    failures: list[Failure] = []
    statistics: dict[str, ArrayStatistics] = {}
    try:
        with full_disk_as_error(task.out):
            written = write_shard(staging.folder / task.shard.name, _contents(task, failures, statistics, progress))
            journal = Journal(
                key=shard_key(task.shard, task.options),
                size=written.size,
                sha256=written.sha256,
                members=written.members,
                statistics=statistics,
            )
            staging.record(task.shard.name, journal)
    except _Abandoned:
        return Outcome(failures=tuple(failures))
    return Outcome(failures=())


def _contents(
    task: Task,
    failures: list[Failure],
    statistics: dict[str, ArrayStatistics],
    progress: Callable[[int], object],
) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    source = sources.load(task.source)
    for _, group in groupby(task.shard.clips, key=lambda clip: clip.episode.content_digest):
        clips = list(group)
        try:
            with source.open(clips[0].file, clips[0].episode, task.options.source) as reader:
                for clip in clips:
                    members = encode_clip(reader, clip.episode, clip.span, task.options.clip, tool_version=__version__)
                    add_rows(statistics, clip.episode, clip.span, members)
                    yield clip.key, members
                    progress(clip.camera_frames)
        except VpdataError as error:
            failures.append(Failure(clip=clips[0], error=error))
            if not task.keep_going:
                break
    if failures:
        raise _Abandoned
