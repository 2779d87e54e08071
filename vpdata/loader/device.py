"""Frames as stored enter, frames of the model's size leave, in batches on whatever device they are."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from vpdata.clips.resize import Fit, placement


def resize_batch(frames: Tensor, *, height: int, width: int, fit: Fit) -> Tensor:
    """What `vpdata.clips.resize` does to each frame, within two grey levels, in one go.

    Args:
        frames: uint8 (N, ..., H, W, 3), RGB; frames that have the size already come back untouched.
        height, width: of the result, in pixels.
        fit: as in `vpdata.clips.resize`.

    Returns:
        uint8 (N, ..., height, width, 3), on the same device.
    """
    if frames.shape[-3:-1] == (height, width):
        return frames
    place = placement(*frames.shape[-3:-1], height=height, width=width, fit=fit)
    shown = frames[..., place.top : place.bottom, place.left : place.right, :]
    scaled = scale(shown.flatten(0, -4), height=place.height, width=place.width, in_floats=frames.device.type != "cpu")
    bars = (0, 0, *_around(place.width, width), *_around(place.height, height))
    return pad(scaled, bars).reshape(*frames.shape[:-3], height, width, 3)


def _around(inner: int, outer: int) -> tuple[int, int]:
    before = (outer - inner) // 2
    return before, outer - inner - before


def scale(frames_NHWC: Tensor, *, height: int, width: int, in_floats: bool) -> Tensor:
    """uint8 to uint8 with the triangle filter of PIL's BILINEAR, which torch has for bytes on the CPU alone."""
    pixels = frames_NHWC.movedim(-1, 1)
    if not in_floats:
        return interpolate(pixels, size=(height, width), mode="bilinear", antialias=True).movedim(1, -1)
    scaled = interpolate(pixels.float(), size=(height, width), mode="bilinear", antialias=True)
    return scaled.round().clamp(0, 255).to(torch.uint8).movedim(1, -1)
