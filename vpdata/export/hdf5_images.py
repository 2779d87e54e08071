"""Runs in, their frames as HDF5 datasets out: several threads decode and compress, one writes."""

import os
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import h5py

from vpdata.export.runs import CHUNK, Run

LEVEL = 4
"""Of zlib: what `h5py` and robomimic's users mean by gzip."""
AHEAD = 2
"""Blocks of frames for each thread that may wait to be written, so that memory does not grow with the episode."""


class ImageWriter:
    """To be used as a context, in which its threads live."""

    def __init__(self, workers: int | None) -> None:
        self._workers = workers or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._workers)

    def write(self, group: h5py.Group, run: Run, camera: str) -> None:
        """Adds the dataset `camera`, uint8 (num_frames, height, width, 3), a chunk a frame.

        Raises:
            ShardError: the data set is damaged.
        """
        described = next(found for found in run.episode.cameras if found.name == camera)
        frame = (described.height, described.width, 3)
        images = group.create_dataset(
            camera,
            (run.num_frames, *frame),
            "uint8",
            chunks=(1, *frame),
            compression="gzip",
            compression_opts=LEVEL,
        )
        number = 0
        for block in self._blocks(run, camera):
            for data in block:
                images.id.write_direct_chunk((number, 0, 0, 0), data)
                number += 1

    def _blocks(self, run: Run, camera: str) -> Iterator[list[bytes]]:
        def compressed(first: int) -> list[bytes]:
            indices = range(first, min(first + CHUNK, run.num_frames))
            return [zlib.compress(frame.tobytes(), LEVEL) for frame in run.frames(camera, indices)]

        waiting: deque[Future[list[bytes]]] = deque()
        for first in range(0, run.num_frames, CHUNK):
            waiting.append(self._pool.submit(compressed, first))
            if len(waiting) > AHEAD * self._workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
