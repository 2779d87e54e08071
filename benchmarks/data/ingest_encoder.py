"""What encoding alone allows: N processes encode frames that lie in memory, and do nothing else. And reading alone.

    python -m benchmarks.data.ingest_encoder --file FILE --processes 2
    python -m benchmarks.data.ingest_encoder --file FILE --processes 2 --read

Each process keeps the frames of all cameras of one demo as plain arrays, and encodes them clip by clip, round and
round, with the codec and the clips of an ingest. Reading them before is not timed. With `--read`, it reads them from
the file round and round instead, as an ingest does, and encodes nothing. Prints a `Written`.
"""

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.ingest_measuring import Written
from vpdata import codecs, sources
from vpdata.clips.span import plan_spans
from vpdata.schema import Episode
from vpdata.sources import SourceOptions


def work(file: Path, codec_name: str | None, seconds: float, number: int, connection: Connection) -> None:
    """What one process does: says that it is ready, waits for the start, and sends a `Written`; None: it reads."""
    source, options = sources.load("robocasa"), SourceOptions()
    (found,) = source.find(file)
    episodes = [episode for episode in source.episodes(found, options) if isinstance(episode, Episode)]
    episode = episodes[number % len(episodes)]
    turns = _reads(file, episode) if codec_name is None else _encodes(file, episode, codec_name)
    next(turns)
    connection.send("ready")
    connection.recv()
    begin, begin_cpu, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() - begin < seconds:
        count += next(turns)
    took, cpu = time.monotonic() - begin, time.process_time() - begin_cpu
    connection.send(Written(frames=count, seconds=took, cpu_seconds=cpu))


def _encodes(file: Path, episode: Episode, codec_name: str) -> Iterator[int]:
    """Encodes a clip and yields its number of frames, for ever."""
    codec = codecs.load(codec_name)
    frames = [np.stack(list(camera)) for camera in _cameras(file, episode)]
    for span, images in itertools.cycle(itertools.product(plan_spans(episode.num_frames), frames)):
        codec.encode(iter(images[span.start : span.stop]), fps=episode.fps)
        yield span.stop - span.start


def _reads(file: Path, episode: Episode) -> Iterator[int]:
    """Reads a camera of the episode and yields its number of frames, for ever."""
    while True:
        for frames in _cameras(file, episode):
            yield sum(1 for _ in frames)


def _cameras(file: Path, episode: Episode) -> Iterator[Iterator[NDArray[np.uint8]]]:
    source, options = sources.load("robocasa"), SourceOptions()
    (found,) = source.find(file)
    with source.open(found, episode, options) as reader:
        for camera in episode.cameras:
            yield reader.frames(camera.name, 0, episode.num_frames)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="RoboCasa HDF5")
    parser.add_argument("--codec", default="h264", choices=codecs.NAMES)
    parser.add_argument("--read", action="store_true", help="read instead")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    connections = []
    for number in range(args.processes):
        ours, theirs = context.Pipe()
        codec = None if args.read else args.codec
        context.Process(target=work, args=(args.file, codec, args.seconds, number, theirs), daemon=True).start()
        connections.append(ours)
    for connection in connections:
        connection.recv()
    for connection in connections:
        connection.send("go")
    written = [connection.recv() for connection in connections]
    Written(
        frames=sum(one.frames for one in written),
        seconds=sum(one.frames for one in written) / sum(one.rate for one in written),
        cpu_seconds=sum(one.cpu_seconds for one in written),
    ).print()


if __name__ == "__main__":
    main()
