"""Colour jitter: one draw a camera and window, shared by all its frames, so that condition and target agree.

A window's draws follow from the seed and its global position alone.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vpdata.loader.draws import draws

BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.2, 0.2, 0.2, 0.05

_LUMA = (0.299, 0.587, 0.114)


def jitter_draws(seed: int, positions: Sequence[int], *, num_cameras: int) -> Tensor:
    """float32 (B, num_cameras, 4) in [0, 1): what `color_jitter` takes for the windows at these global positions."""
    drawn = draws(seed, positions, purpose="color jitter", count=num_cameras * 4)
    return torch.from_numpy(drawn).float().reshape(-1, num_cameras, 4)


def color_jitter(frames_BVFCHW: Tensor, draws_BV4: Tensor) -> Tensor:
    """Jitters frames in [-1, 1]: brightness, contrast and saturation by 1 ± 0.2, the hue by ± 0.05 of a circle.

    A draw of 0 is the least amount and one near 1 the greatest, in that order. Contrast is about the mean grey level of
    the camera's frames; the hue turns in the YIQ plane.
    """
    signed = draws_BV4.to(frames_BVFCHW) * 2 - 1
    amounts = signed * signed.new_tensor([BRIGHTNESS, CONTRAST, SATURATION, HUE])
    brightness, contrast, saturation = (1 + amounts[..., :3])[..., None, None, None, None].unbind(2)
    x = (frames_BVFCHW + 1) / 2 * brightness
    luma = torch.tensor(_LUMA, device=x.device, dtype=x.dtype)
    grey = torch.einsum("bvfchw,c->bvfhw", x, luma)[:, :, :, None]
    mean = grey.mean(dim=(2, 3, 4, 5), keepdim=True)
    x = mean + (x - mean) * contrast
    grey = mean + (grey - mean) * contrast
    x = grey + (x - grey) * saturation
    x = torch.einsum("bvij,bvfjhw->bvfihw", _hue_matrices(amounts[..., 3]), x)
    return x.clamp(0, 1) * 2 - 1


def _hue_matrices(turns_BV: Tensor) -> Tensor:
    """(B, V, 3, 3) matrices that turn RGB's chroma by `turns` of a circle and keep its luma (YIQ, NTSC 1953)."""
    to_yiq = turns_BV.new_tensor([_LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
    angle = 2 * math.pi * turns_BV
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack(
        [one, zero, zero, zero, angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos()], dim=-1
    ).reshape(*angle.shape, 3, 3)
    matrices: Tensor = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return matrices
