"""What decoding alone allows: W processes decode the windows of a mixture from memory and do nothing else.

    python -m benchmarks.data.ceiling --data DIR --codec h264

Each process keeps the stored bytes of all its clips, and decodes the frames of one window after another into one and
the same array. No index, no file, no checksum, no batch. Prints a `Measured`.
"""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from benchmarks.data.make import NUM_WINDOWS
from benchmarks.data.measuring import measure, window_parser
from vpdata import codecs
from vpdata.mixture.mixture import Mixture
from vpdata.sources.robocasa import CAMERAS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """Of one window: each camera's stored bytes, and the frames to decode from them."""

    members: tuple[bytes, ...]
    rows: list[int]


def windows(mixture: Mixture, args: Any, *, number: int) -> list[Bytes]:
    """The windows of process `number`: every `args.workers`-th one. Clips are kept once."""
    kept: dict[str, tuple[bytes, ...]] = {}
    found = []
    for position in range(number, NUM_WINDOWS, args.workers):
        ref = mixture.locate(position)
        dataset = mixture.datasets[ref.dataset]
        clip = dataset.clips[ref.clip]
        extension = codecs.load(clip.codec).extension
        if clip.key not in kept:
            kept[clip.key] = tuple(dataset.read(clip, f"{camera}.{extension}") for camera in CAMERAS)
        rows = ref.start + args.stride * np.arange(args.num_frames)
        found.append(Bytes(members=kept[clip.key], rows=np.minimum(rows, clip.num_frames - 1).tolist()))
    return found


def decode(args: Any, number: int, out: Connection) -> None:
    """What one process does, until it is killed: says after every batch how many windows it held."""
    mixture = Mixture.open(args.data / f"{args.codec}.toml")
    camera = mixture.datasets[0].clips[0].episode.cameras[0]
    codec = codecs.load(args.codec)
    frames = np.empty((len(CAMERAS), args.num_frames, camera.height, camera.width, 3), np.uint8)
    endless = cycle(windows(mixture, args, number=number))
    while True:
        for window in islice(endless, args.batch_size):
            for data, view in zip(window.members, frames, strict=True):
                codec.decode_into(data, window.rows, view)
        out.send(args.batch_size)


def batches(connections: list[Connection]) -> Iterator[int]:
    """The sizes of the batches that any process says it has decoded."""
    while True:
        for ready in wait(connections):
            assert isinstance(ready, Connection)
            yield ready.recv()


def main() -> None:
    """Command line."""
    parser = window_parser(__doc__)
    parser.add_argument("--codec", default="h264")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    connections, processes = [], []
    for number in range(args.workers):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=decode, args=(args, number, there), daemon=True)
        process.start()
        there.close()
        connections.append(here)
        processes.append(process)
    measured = measure(batches(connections), seconds=args.seconds)
    for process in processes:
        process.kill()
    measured.print()


if __name__ == "__main__":
    main()
