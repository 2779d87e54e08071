"""RGB frames in, 4:2:0 frames for an encoder out, and the way back: one pair, made for each other.

Colour is BT.601 limited range, tagged so. Decoding uses swscale's plain conversion, as torchcodec and decord do: it is
ten times faster than the accurate one, but takes the chroma of the nearest sample, and rounds down two or three times
a pixel. So encoding averages chroma over the 2 × 2 pixels that will share it, and makes luma brighter by what will be
lost. `docs/CODECS.md` has the figures.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from numpy.typing import NDArray

AVCOL_SPC_SMPTE170M = 6  # as stored in files; PyAV's `Colorspace` has swscale's numbers

# Rec. ITU-R BT.601 for 8 bits, times 2^16. Integers, so that every processor makes the same bytes.
LUMA = (16829, 33039, 6416)
BLUE_DIFFERENCE = (-9714, -19070, 28784)
RED_DIFFERENCE = (28784, -24103, -4681)
BITS = 16
LUMA_OFFSET = (16 << BITS) + (1 << BITS - 1) + (3 << BITS - 2)  # black; to the nearest; and brighter by 0.75
CHROMA_OFFSET = (128 << BITS + 2) + (1 << BITS + 1)  # of the sum of four pixels: grey; to the nearest

TO_RGB: dict[str, Any] = {
    "format": "rgb24",
    "src_colorspace": Colorspace.ITU601,
    "src_color_range": ColorRange.MPEG,
    "dst_color_range": ColorRange.JPEG,
    "interpolation": Interpolation.BILINEAR,
    "threads": 1,  # or else every conversion starts one thread a processor
}


def tag_colour(context: Any) -> None:
    """Tells an encoder's context how `to_yuv` made the colours."""
    context.colorspace = AVCOL_SPC_SMPTE170M
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.SMPTE170M
    context.color_trc = ColorTrc.SMPTE170M


def yuv_frames(frames: Iterable[NDArray[np.uint8]]) -> tuple[Iterator[Any], int, int]:
    """Lazily converted `av.VideoFrame`s, and their height and width: odd sizes are padded with their edge to even."""
    iterator = iter(frames)
    first = next(iterator)
    height, width = (size + size % 2 for size in first.shape[:2])
    return (to_yuv(frame) for frame in chain([first], iterator)), height, width


def to_yuv(rgb: NDArray[np.uint8]) -> Any:
    """One RGB `HWC` frame as a `yuv420p` `av.VideoFrame` of even height and width."""
    height, width = rgb.shape[:2]
    even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else rgb
    channels = np.moveaxis(even, -1, 0).astype(np.int32, order="C")  # planes: twice as fast from here on
    luma = _weigh(channels, LUMA) + LUMA_OFFSET >> BITS
    sums = channels[:, ::2, ::2] + channels[:, ::2, 1::2] + channels[:, 1::2, ::2] + channels[:, 1::2, 1::2]
    chroma = [_weigh(sums, weights) + CHROMA_OFFSET >> BITS + 2 for weights in (BLUE_DIFFERENCE, RED_DIFFERENCE)]
    planes = np.concatenate([plane.ravel() for plane in (luma, *chroma)]).astype(np.uint8)
    return av.VideoFrame.from_ndarray(planes.reshape(-1, even.shape[1]), format="yuv420p")


def _weigh(channels: NDArray[np.int32], weights: tuple[int, int, int]) -> NDArray[np.int32]:
    red, green, blue = channels
    weighed: NDArray[np.int32] = red * weights[0] + green * weights[1] + blue * weights[2]
    return weighed
