"""JPEG, all frames of a clip packed into one member: RGB frames in, the bytes of one `.jpegs` out, and back.

A member is MAGIC; the number of frames N; N + 1 offsets from its start, where each frame begins and where the last one
ends; and N JPEG (JFIF) files, one behind the other. Numbers are unsigned, 32 bits, little-endian.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vpdata.codecs import Codec
from vpdata.codecs.request import check_indices, check_size
from vpdata.errors import ShardError

MAGIC = b"VPJPEGS1"
QUALITY = 95
CHROMA = "444"


class Jpeg(Codec):
    """Closer to the recording than H.264, since chroma is whole, and about as fast, but over ten times larger."""

    name = "jpeg"
    extension = "jpegs"
    min_psnr_db = 39.0  # the worst frame of our recordings: 39.2 dB at 64x64, 40.9 dB from 128x128

    def encode(self, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:  # noqa: ARG002
        """See `Codec.encode`; a JPEG has no rate."""
        files = [
            simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=QUALITY, colorsubsampling=CHROMA)
            for frame in frames
        ]
        return pack(files)

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8]) -> None:
        """See `Codec.decode_into`."""
        bounds = _bounds(data)
        check_indices(indices, len(bounds) - 1)
        for place, index in enumerate(indices):
            file = data[bounds[index] : bounds[index + 1]]
            check_size(*_size(file), out)
            try:
                simplejpeg.decode_jpeg(file, buffer=out[place])
            except ValueError as error:
                raise ShardError(f"frame {index} does not decode ({error}).") from error

    def count(self, data: bytes) -> int:
        """See `Codec.count`."""
        bounds = _bounds(data)
        height, width = _size(data[bounds[0] : bounds[1]])
        return len(self.decode(data, range(len(bounds) - 1), height=height, width=width))


def pack(files: Sequence[bytes]) -> bytes:
    """JPEG files to one member."""
    begin = len(MAGIC) + 4 * (len(files) + 2)
    bounds = np.cumsum([begin, *map(len, files)])
    return b"".join([MAGIC, np.array([len(files), *bounds], "<u4").tobytes(), *files])


def _size(file: bytes) -> tuple[int, int]:
    """Height and width of one JPEG."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(file)
    except ValueError as error:
        raise ShardError(f"a frame does not decode ({error}).") from error
    return height, width


def _bounds(data: bytes) -> list[int]:
    """Where each frame begins, and where the last one ends."""
    start = len(MAGIC) + 4
    count = int.from_bytes(data[len(MAGIC) : start], "little")
    if data[: len(MAGIC)] == MAGIC and start + 4 * (count + 1) <= len(data):
        bounds = np.frombuffer(data, "<u4", count + 1, start).astype(np.int64)
        if count and bounds[0] == start + 4 * (count + 1) and bounds[-1] == len(data) and (np.diff(bounds) > 0).all():
            numbers: list[int] = bounds.tolist()
            return numbers
    raise ShardError("the video does not decode (its table of frames).")


CODEC = Jpeg()
