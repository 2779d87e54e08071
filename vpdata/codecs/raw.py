"""The frames themselves: RGB frames in, one NumPy 1.0 array `THWC` of uint8 out (`.rgb`), and back."""

import io
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vpdata.codecs import Codec
from vpdata.codecs.request import check_indices, check_size
from vpdata.errors import ShardError

# What NumPy writes; its own reader would run whatever stands there through Python's parser.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '\|u1', 'fortran_order': False, 'shape': \((\d+), (\d+), (\d+), 3\), \} *\n",
    re.DOTALL,
)


class Raw(Codec):
    """Lossless and by far the fastest to decode, over a hundred times larger than H.264."""

    name = "raw"
    extension = "rgb"
    min_psnr_db = math.inf

    def encode(self, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:  # noqa: ARG002
        """See `Codec.encode`; the array has no rate."""
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.stack(list(frames)), version=(1, 0), allow_pickle=False)
        return buffer.getvalue()

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8]) -> None:
        """See `Codec.decode_into`."""
        frames = _frames(data)
        check_indices(indices, len(frames))
        check_size(frames.shape[1], frames.shape[2], out)
        for place, index in enumerate(indices):
            out[place] = frames[index]

    def count(self, data: bytes) -> int:
        """See `Codec.count`."""
        return len(_frames(data))


def _frames(data: bytes) -> NDArray[np.uint8]:
    """The array, as a view of the bytes."""
    header = HEADER.match(data)
    if header is None:
        raise ShardError("the video does not decode (its NumPy header).")
    shape = (*map(int, header.groups()), 3)
    if math.prod(shape) != len(data) - header.end():
        raise ShardError(f"the video does not decode ({len(data)} bytes for {shape}).")
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(shape)


CODEC = Raw()
