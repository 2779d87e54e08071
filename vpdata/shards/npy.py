"""The bytes of an `.npy` member in, its array out.

Many members have one and the same header, so what it says is kept: numpy's own reader compiles it as Python each time,
which takes longer than all else that a window needs besides its frames.
"""

import io
from functools import lru_cache

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_PREFIX = 10
"""Bytes of a header of version 1.0, the one that `numpy.save` writes, before its text; the last two are its length."""


def array_from(data: bytes | memoryview) -> NDArray[np.generic]:
    """The array, with memory of its own. Raises ValueError where the bytes hold none, or objects, which need pickle."""
    return array_in(data).copy()


def array_in(data: bytes | memoryview) -> NDArray[np.generic]:
    """As `array_from`, but a view of the bytes, not to be written to."""
    start = _PREFIX + int.from_bytes(data[_PREFIX - 2 : _PREFIX], "little")
    shape, dtype = _header(bytes(data[:start]))
    return np.ndarray(shape, dtype, data, start)


@lru_cache(maxsize=256)
def _header(data: bytes) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    file = io.BytesIO(data)
    version = npy.read_magic(file)
    shape, is_fortran, dtype = npy.read_array_header_1_0(file)
    if version != (1, 0) or is_fortran or dtype.hasobject:
        raise ValueError(f"not an array in C order and NumPy's format 1.0: {data!r}")
    return shape, dtype
