"""RGB frames in, RGB frames of another size out."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How a frame gets another size: its rows [top, bottom) and columns [left, right) are scaled to height × width.

    The result stands in the middle, half a pixel up and left at most, between black bars where it is smaller.
    """

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int


def placement(recorded_height: int, recorded_width: int, *, height: int, width: int, fit: Fit) -> Placement:
    """Where a frame of the recorded size goes in one of `height` × `width`; see `resize`."""
    crop_height, crop_width, inner_height, inner_width = recorded_height, recorded_width, height, width
    if fit == "crop":
        crop_height, crop_width = _largest_inside(recorded_height, recorded_width, aspect=width / height)
    if fit == "pad":
        inner_height, inner_width = _largest_inside(height, width, aspect=recorded_width / recorded_height)
    top, left = (recorded_height - crop_height) // 2, (recorded_width - crop_width) // 2
    return Placement(
        top=top, bottom=top + crop_height, left=left, right=left + crop_width, height=inner_height, width=inner_width
    )


def resize(frames: NDArray[np.uint8], *, height: int, width: int, fit: Fit) -> NDArray[np.uint8]:
    """Scales frames with an antialiasing triangle filter; frames that have the size already come back untouched.

    Args:
        frames: RGB (T, H, W, 3).
        height, width: of the result, in pixels.
        fit: what to do where the aspect ratios differ: `crop` cuts the longer sides off evenly, `pad` adds black bars,
            `stretch` distorts.

    Returns:
        RGB (T, height, width, 3).
    """
    if frames.shape[1:3] == (height, width):
        return frames
    place = placement(*frames.shape[1:3], height=height, width=width, fit=fit)
    shown = frames[:, place.top : place.bottom, place.left : place.right]
    if (place.height, place.width) == (height, width):
        return _scale(shown, height=height, width=width)
    top, left = (height - place.height) // 2, (width - place.width) // 2
    out = np.zeros((len(frames), height, width, 3), np.uint8)
    inner = _scale(shown, height=place.height, width=place.width)
    out[:, top : top + place.height, left : left + place.width] = inner
    return out


def _largest_inside(height: int, width: int, *, aspect: float) -> tuple[int, int]:
    """The largest height and width of that aspect ratio (width / height) inside a rectangle, in whole pixels."""
    if width > height * aspect:
        return height, max(1, round(height * aspect))
    return max(1, round(width / aspect)), width


def _scale(frames: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.uint8]:
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for scaled, frame in zip(out, frames, strict=True):
        image = Image.fromarray(np.ascontiguousarray(frame))
        scaled[:] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return out
