"""The images of one camera in an HDF5 file, read and inflated a slab of chunks at a time.

Enters: an open dataset of uint8 (frames, height, width, colours). Leaves: its rows in order, or a SourceError where
bytes are damaged.

HDF5 inflates the chunks that h5py chooses for images, (T / 8, H / 4, W / 4, 1), more than once, as its cache forgets
them, and then puts every byte in its place on its own: four times the work. So chunks that are only deflated are
inflated here, each once, and a frame is a view of three planes. What else a writer may choose (no chunks, other
filters) h5py reads.
"""

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from vpdata.errors import SourceError

BLOCK_ROWS = 32  # that h5py reads at a time
MAX_SLAB_BYTES = 64 * 2**20  # a longer slab is left to h5py, which inflates it once a block
DOES_NOT_INFLATE = cast(type[Exception], isal_zlib.error)
KEPT_BYTES = 32 * 2**20  # of slabs, for the clip that begins before the last one ends

Images = NDArray[np.uint8]


class Rows:
    """The rows of one dataset. What overlapping ranges share is inflated once where it fits into `KEPT_BYTES`."""

    def __init__(self, images: h5py.Dataset, *, path: Path, episode: str) -> None:
        self._images = images
        self._path = path
        self._episode = episode
        self._kept: OrderedDict[int, Images] = OrderedDict()
        self._chunks: dict[int, list[Any]] | None = None
        if _is_only_deflated(images):
            chunks = self._chunks_of_slabs()
            if math.prod(images.chunks) * math.prod(_grid(images)[1:]) <= MAX_SLAB_BYTES:
                self._chunks = chunks

    def read(self, start: int, stop: int) -> Iterator[Images]:
        """Yields rows [start, stop), (H, W, C) each, not always contiguous.

        Raises:
            SourceError: a chunk is damaged or missing.
            OSError, RuntimeError: as h5py has it.
        """
        if self._chunks is None:
            for first in range(start, stop, BLOCK_ROWS):
                yield from self._images[first : min(first + BLOCK_ROWS, stop)]
            return
        length = self._images.chunks[0]
        for first in range(start - start % length, stop, length):
            yield from self._slab(first, self._chunks[first])[max(start - first, 0) : stop - first]

    def _chunks_of_slabs(self) -> dict[int, list[Any]]:
        """Where the chunks lie, by their first row. Raises SourceError unless they tile the dataset without sharing."""
        found: list[Any] = []
        self._images.id.chunk_iter(found.append)
        whole = len(found) == math.prod(_grid(self._images))
        if whole:
            steps = zip(_grid(self._images), self._images.chunks, strict=True)
            corners = itertools.product(*(range(0, count * size, size) for count, size in steps))
            places = sorted((chunk.byte_offset, chunk.byte_offset + chunk.size) for chunk in found)
            apart = all(stop <= start for (_, stop), (start, _) in itertools.pairwise(places))
            whole = apart and {chunk.chunk_offset for chunk in found} == set(corners)
        if not whole:
            raise self._damaged(f"its list of {len(found)} chunks does not hold every part of the images once")
        slabs: dict[int, list[Any]] = {}
        for chunk in found:
            slabs.setdefault(chunk.chunk_offset[0], []).append(chunk)
        return slabs

    def _slab(self, first: int, chunks: list[Any]) -> Images:
        """The rows [first, first + T) of chunks of T rows, or to the end, THWC."""
        slab = self._kept.pop(first, None)
        if slab is None:
            slab = self._inflated(chunks)
        self._kept[first] = slab
        while len(self._kept) > 1 and len(self._kept) * slab.nbytes > KEPT_BYTES:
            self._kept.popitem(last=False)
        return slab

    def _inflated(self, chunks: list[Any]) -> Images:
        shape = self._images.chunks
        counts = _grid(self._images)[1:]
        height, width, colours = (count * size for count, size in zip(counts, shape[1:], strict=True))
        planes = np.empty((colours, shape[0], height, width), np.uint8)
        row = np.dtype((np.void, shape[2]))  # of a chunk of one colour, which is then copied at once
        for chunk in chunks:
            mask, data = self._images.id.read_direct_chunk(chunk.chunk_offset)
            try:
                inflated = data if mask else isal_zlib.decompress(data, bufsize=math.prod(shape))
            except DOES_NOT_INFLATE as error:
                raise self._damaged(f"a chunk does not inflate: {error}") from error
            if len(inflated) != math.prod(shape):
                raise self._damaged(f"a chunk inflates to {len(inflated)} bytes, not {math.prod(shape)}")
            _, top, left, colour = chunk.chunk_offset
            if shape[3] == 1:
                rows = np.frombuffer(inflated, row).reshape(shape[:2])
                planes.view(row)[colour, :, top : top + shape[1], left // shape[2]] = rows
            else:
                part = np.frombuffer(inflated, np.uint8).reshape(shape).transpose(3, 0, 1, 2)
                planes[colour : colour + shape[3], :, top : top + shape[1], left : left + shape[2]] = part
        _, height, width, colours = self._images.shape
        return planes[:colours, :, :height, :width].transpose(1, 2, 3, 0)

    def _damaged(self, how: str) -> SourceError:
        return SourceError(
            f"the HDF5 file is damaged or truncated ({how}).",
            path=self._path,
            episode=self._episode,
            hint="Copy or download it again.",
        )


def _is_only_deflated(images: h5py.Dataset) -> bool:
    properties = images.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return images.ndim == 4 and filters == [h5py.h5z.FILTER_DEFLATE]


def _grid(images: h5py.Dataset) -> list[int]:
    """How many chunks there are along every axis."""
    return [-(-int(length) // int(size)) for length, size in zip(images.shape, images.chunks, strict=True)]
