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
    B, V, F = frames_BVFCHW.shape[:3]
    signed = draws_BV4.to(frames_BVFCHW) * 2 - 1
    amounts = signed * signed.new_tensor([BRIGHTNESS, CONTRAST, SATURATION, HUE])
    brightness, contrast, saturation = (1 + amounts[..., :3]).unbind(-1)
    luma = signed.new_tensor(_LUMA)
    mean_BV = (frames_BVFCHW.mean(dim=(2, 4, 5)) + 1) / 2 @ luma * brightness
    # Up to the clamp every step is affine in a pixel's colour x in [0, 1], so all are one: y = matrix x + offset.
    keep, mix = saturation[..., None, None], (1 - saturation)[..., None, None]
    chroma = _hue_matrices(amounts[..., 3]) @ (keep * torch.eye(3).to(luma) + mix * luma.expand(3, 3))
    matrix = chroma * (brightness * contrast)[..., None, None]
    offset = chroma.sum(-1) * ((1 - contrast) * mean_BV)[..., None]
    offset = matrix.sum(-1) + 2 * offset - 1  # the same for pixels in [-1, 1]
    pixels = frames_BVFCHW.reshape(B * V * F, 3, -1)
    jittered = torch.baddbmm(_each_frame(offset, F).reshape(-1, 3, 1), _each_frame(matrix, F), pixels)
    return jittered.clamp_(-1, 1).reshape(frames_BVFCHW.shape)


def _each_frame(values_BV: Tensor, num_frames: int) -> Tensor:
    """(B * V * num_frames, ...): each camera's value for each of its frames."""
    return values_BV.flatten(0, 1).repeat_interleave(num_frames, dim=0)


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
