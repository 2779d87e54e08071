import numpy as np
import pytest

from vpdata.clips.resize import FITS, Fit, resize


def grid(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One frame whose red is the column and green the row, in fractions of 240."""
    rows, columns = np.mgrid[:height, :width]
    planes = [columns * 240 // (width - 1), rows * 240 // (height - 1), np.zeros((height, width))]
    return np.stack(planes, axis=-1)[None].astype(np.uint8)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(95, 127), (128, 96), (17, 200), (1, 1)])
def test_any_size_to_any_size(fit: Fit, size: tuple[int, int]) -> None:
    for height, width in [(64, 64), (96, 128), (33, 7)]:
        out = resize(np.full((2, *size, 3), 200, np.uint8), height=height, width=width, fit=fit)
        assert out.shape == (2, height, width, 3)
        assert out.dtype == np.uint8
        assert out.max() == 200
        assert out.min() == 200 or fit == "pad"


def test_the_same_size_is_untouched() -> None:
    frames = grid(50, 70)
    assert resize(frames, height=50, width=70, fit="crop") is frames


def test_crop_keeps_the_centre() -> None:
    out = resize(grid(64, 128), height=32, width=32, fit="crop")[0]
    assert out[:, 0, 0].mean() == pytest.approx(60, abs=3)
    assert out[:, -1, 0].mean() == pytest.approx(180, abs=3)
    assert (out[0, 0, 1] < 4, out[-1, 0, 1] > 236) == (True, True)


def test_pad_keeps_everything_between_black_bars() -> None:
    out = resize(grid(64, 128) + np.uint8(10), height=64, width=64, fit="pad")[0]
    assert not out[:16].any()
    assert not out[48:].any()
    inner = out[16:48]
    assert (inner[:, 0, 0].mean() < 15, inner[:, -1, 0].mean() > 245) == (True, True)


def test_stretch_keeps_everything() -> None:
    out = resize(grid(64, 128), height=64, width=64, fit="stretch")[0]
    assert (out[:, 0, 0].max() < 4, out[:, -1, 0].min() > 236, out[0, :, 1].max() < 4) == (True, True, True)


def test_shrinking_averages_instead_of_picking() -> None:
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    out = resize(stripes, height=16, width=16, fit="stretch")[0, 2:-2, 2:-2]
    assert (np.abs(out.astype(int) - 127) < 20).all()
