"""RGB to 4:2:0, against the formula in whole numbers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vpdata.codecs.colour import BLUE_DIFFERENCE, LUMA, RED_DIFFERENCE, to_yuv

CORNERS = np.stack(np.meshgrid([0, 1, 127, 254, 255], np.arange(256), [0, 3, 128, 255]), axis=-1)


def expected(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The three planes one after the other: luma brighter by 0.75, chroma the mean of 2 × 2 pixels."""
    pixels = rgb.astype(object)  # whole numbers of any size
    height, width = rgb.shape[:2]
    luma = (pixels @ LUMA + (16 << 16) + (1 << 15) + (3 << 14)) // (1 << 16)
    sums = pixels.reshape(height // 2, 2, width // 2, 2, 3).sum(axis=(1, 3))
    chroma = [(sums @ w + (128 << 18) + (1 << 17)) // (1 << 18) for w in (BLUE_DIFFERENCE, RED_DIFFERENCE)]
    return np.concatenate([plane.ravel() for plane in (luma, *chroma)]).astype(np.uint8)


@pytest.fixture(params=["random", "corners", "black", "white"])
def rgb(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    images = {
        "random": np.random.default_rng(0).integers(0, 256, (64, 96, 3)),
        "corners": CORNERS.reshape(-1, 20, 3),
        "black": np.zeros((2, 2, 3)),
        "white": np.full((64, 128, 3), 255),
    }
    return images[request.param].astype(np.uint8)


@pytest.mark.parametrize("layout", ["pixels", "planes", "upside down", "every second column"])
def test_every_layout_is_converted_as_the_formula_says(rgb: NDArray[np.uint8], layout: str) -> None:
    as_laid_out = {
        "pixels": rgb,
        "planes": np.moveaxis(np.ascontiguousarray(np.moveaxis(rgb, -1, 0)), 0, -1),
        "upside down": np.ascontiguousarray(rgb[::-1])[::-1],
        "every second column": np.repeat(rgb, 2, axis=1)[:, ::2],
    }[layout]
    frame = to_yuv(as_laid_out)
    assert (frame.height, frame.width) == rgb.shape[:2]
    np.testing.assert_array_equal(frame.to_ndarray().ravel(), expected(rgb))


def test_odd_sizes_repeat_their_edge() -> None:
    odd = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    even = np.pad(odd, ((0, 1), (0, 1), (0, 0)), mode="edge")
    np.testing.assert_array_equal(to_yuv(odd).to_ndarray().ravel(), expected(even))
