"""RGB frames in, RGB frames of another size out."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)


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
    recorded_height, recorded_width = frames.shape[1:3]
    if (recorded_height, recorded_width) == (height, width):
        return frames
    if fit == "crop":
        crop_height, crop_width = _largest_inside(recorded_height, recorded_width, aspect=width / height)
        top, left = (recorded_height - crop_height) // 2, (recorded_width - crop_width) // 2
        return _scale(frames[:, top : top + crop_height, left : left + crop_width], height=height, width=width)
    if fit == "pad":
        inner_height, inner_width = _largest_inside(height, width, aspect=recorded_width / recorded_height)
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        out = np.zeros((len(frames), height, width, 3), np.uint8)
        inner = _scale(frames, height=inner_height, width=inner_width)
        out[:, top : top + inner_height, left : left + inner_width] = inner
        return out
    return _scale(frames, height=height, width=width)


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
