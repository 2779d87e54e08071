"""`.npy` members against numpy's own reader."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray

from vpdata.shards.npy import array_from


def npy(array: NDArray[np.generic], *, version: tuple[int, int] = (1, 0)) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", "<i8", "|u1", "|b1"])
@pytest.mark.parametrize("shape", [(5, 3), (5, 1), (0, 3), (4,), (2, 3, 4)])
def test_arrays_are_those_of_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    for seed in range(2):  # the second one has a header that is known
        stored = np.random.default_rng(seed).integers(0, 2, shape).astype(dtype)
        found = array_from(npy(stored))
        np.testing.assert_array_equal(found, np.load(io.BytesIO(npy(stored))), strict=True)
        assert found.flags.writeable
        assert found.flags.owndata


@pytest.mark.parametrize(
    "data",
    [
        npy(np.array([{}], object)),
        npy(np.asfortranarray(np.ones((3, 2)))),
        npy(np.ones(3), version=(2, 0)),
        npy(np.ones(3))[:-1],
        b"\x93NUMPY\x01",
        b"",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        array_from(data)
