"""What encoding alone allows: N processes encode frames that lie in memory, and do nothing else.

    python -m benchmarks.data.ingest_encoder --file FILE --processes 2

Each process keeps the frames of all cameras of one demo as plain arrays, and encodes them clip by clip, round and
round, with the codec and the clips of an ingest. Reading them before is not timed. Prints a `Written`.
"""

import argparse
import itertools
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.data.ingest_measuring import Written
from vpdata import codecs, sources
from vpdata.clips.span import plan_spans
from vpdata.schema import Episode
from vpdata.sources import SourceOptions


def encode(file: Path, codec_name: str, seconds: float, number: int, connection: Connection) -> None:
    """What one process does: says that it is ready, waits for the start, and sends a `Written`."""
    source, options, codec = sources.load("robocasa"), SourceOptions(), codecs.load(codec_name)
    (found,) = source.find(file)
    episodes = [episode for episode in source.episodes(found, options) if isinstance(episode, Episode)]
    episode = episodes[number % len(episodes)]
    with source.open(found, episode, options) as reader:
        cameras = [np.stack(list(reader.frames(c.name, 0, episode.num_frames))) for c in episode.cameras]
    frames = [np.ascontiguousarray(camera) for camera in cameras]
    spans = plan_spans(episode.num_frames)
    connection.send("ready")
    connection.recv()
    begin, begin_cpu, count = time.monotonic(), time.process_time(), 0
    for span, images in itertools.cycle(itertools.product(spans, frames)):
        if time.monotonic() - begin >= seconds:
            break
        codec.encode(iter(images[span.start : span.stop]), fps=episode.fps)
        count += span.stop - span.start
    took, cpu = time.monotonic() - begin, time.process_time() - begin_cpu
    connection.send(Written(frames=count, seconds=took, cpu_seconds=cpu))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="RoboCasa HDF5")
    parser.add_argument("--codec", default="h264", choices=codecs.NAMES)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    connections = []
    for number in range(args.processes):
        ours, theirs = context.Pipe()
        context.Process(target=encode, args=(args.file, args.codec, args.seconds, number, theirs), daemon=True).start()
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
