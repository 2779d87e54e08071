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

# Rec. ITU-R BT.601 for 8 bits, times 2^16. Computed without rounding, so that every processor makes
# the same bytes.
BITS = 16
LUMA = (16829, 33039, 6416)
BLUE_DIFFERENCE = (-9714, -19070, 28784)
RED_DIFFERENCE = (28784, -24103, -4681)
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
    channels = np.moveaxis(even, -1, 0)
    if channels.strides[-1] != 1:
        channels = np.ascontiguousarray(channels)
    sums = _quad_sums(channels)
    planes = (
        _luma(channels),
        _chroma(sums, BLUE_DIFFERENCE),
        _chroma(sums, RED_DIFFERENCE),
    )
    frame = av.VideoFrame(even.shape[1], even.shape[0], "yuv420p")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows[:, : values.shape[1]] = values
    return frame


def _luma(channels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W), to be rounded down. Multiples of 2^-16 below 2^8, which float32 holds; twice as fast as integers."""
    total = np.full(channels.shape[1:], LUMA_OFFSET / (1 << BITS), np.float32)
    for channel, weight in zip(channels, LUMA, strict=True):
        total += np.multiply(channel, np.float32(weight / (1 << BITS)), dtype=np.float32)
    return total


def _quad_sums(channels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(3, H / 2, W / 2): each of 2 × 2 pixels, which are added two bytes of a row at a time."""
    pairs = channels.view(np.uint16)
    sums = (pairs & 0xFF) + (pairs >> 8)
    return np.add(sums[:, ::2], sums[:, 1::2], dtype=np.int32)


def _chroma(sums: NDArray[np.int32], weights: tuple[int, int, int]) -> NDArray[np.int32]:
    total = np.full(sums.shape[1:], CHROMA_OFFSET, np.int32)
    for channel, weight in zip(sums, weights, strict=True):
        total += channel * weight
    total >>= BITS + 2
    return total
