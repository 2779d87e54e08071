from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vpdata.clips.resize import FITS, Fit, placement, resize
from vpdata.loader.device import resize_batch, scale

SIZES = [(64, 64), (48, 64), (100, 37), (256, 256), (31, 200)]


@pytest.fixture(scope="module")
def frames(recordings: Path) -> NDArray[np.uint8]:
    """(6, 128, 128, 3) as recorded."""
    with h5py.File(next((recordings / "robocasa").rglob("*.hdf5"))) as file:
        demo = next(iter(file["data"].values()))
        name = next(name for name in demo["obs"] if name.endswith("image"))
        recorded: NDArray[np.uint8] = demo["obs"][name][:60:10]
    return recorded


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("crop", [slice(None), slice(10, 97)], ids=["square", "tall"])
def test_it_agrees_with_the_resizing_of_clips(
    frames: NDArray[np.uint8], size: tuple[int, int], fit: Fit, crop: slice
) -> None:
    shown = np.ascontiguousarray(frames[:, :, crop])
    height, width = size
    expected = resize(shown, height=height, width=width, fit=fit).astype(int)
    got = resize_batch(torch.from_numpy(shown), height=height, width=width, fit=fit)
    assert got.dtype == torch.uint8
    assert got.shape == expected.shape
    assert np.abs(got.numpy() - expected).max() <= 2
    nested = resize_batch(torch.from_numpy(shown).unflatten(0, (2, 3)), height=height, width=width, fit=fit)
    assert torch.equal(nested.flatten(0, 1), got)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_floats_give_what_bytes_give(frames: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Devices without a kernel for bytes scale floats."""
    height, width = size
    scaled = scale(torch.from_numpy(frames), height=height, width=width, in_floats=True)
    expected = resize(frames, height=height, width=width, fit="stretch").astype(int)
    assert scaled.dtype == torch.uint8
    assert np.abs(scaled.numpy() - expected).max() <= 2


def test_frames_of_the_size_come_back_untouched(frames: NDArray[np.uint8]) -> None:
    tensor = torch.from_numpy(frames)
    assert resize_batch(tensor, height=128, width=128, fit="crop") is tensor


def test_where_frames_are_placed() -> None:
    crop = placement(100, 200, height=50, width=50, fit="crop")
    assert (crop.top, crop.bottom, crop.left, crop.right, crop.height, crop.width) == (0, 100, 50, 150, 50, 50)
    bars = placement(100, 200, height=50, width=50, fit="pad")
    assert (bars.top, bars.bottom, bars.left, bars.right, bars.height, bars.width) == (0, 100, 0, 200, 25, 50)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fit", FITS)
def test_a_cuda_device_agrees(frames: NDArray[np.uint8], fit: Fit) -> None:
    got = resize_batch(torch.from_numpy(frames).cuda(), height=48, width=64, fit=fit)
    expected = resize(frames, height=48, width=64, fit=fit).astype(int)
    assert np.abs(got.cpu().numpy() - expected).max() <= 2
