"""Euler steps on the Karras schedule (Karras et al. 2022, equation 5 and algorithm 1 without churn)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Denoiser = Callable[[tuple[Tensor, ...], float], tuple[Tensor, ...]]


def karras_sigmas(num_steps: int, *, sigma_max: float, sigma_min: float, rho: float) -> list[float]:
    """`num_steps` noise levels from sigma_max down to sigma_min, then 0."""
    if num_steps == 1:
        return [sigma_max, 0.0]
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return [(high + i / (num_steps - 1) * (low - high)) ** rho for i in range(num_steps)] + [0.0]


def euler(denoise: Denoiser, noise: Sequence[Tensor], sigmas: Sequence[float]) -> tuple[Tensor, ...]:
    """Integrates dx/dσ = (x - D(x, σ))/σ from unit-variance noise, for several tensors that are denoised together.

    Args:
        denoise: maps the tensors at one noise level to their denoised values.
        noise: standard normal; it is scaled by √(1 + σ₀²).
        sigmas: decreasing, the last one 0.
    """
    x = tuple(tensor * (1 + sigmas[0] ** 2) ** 0.5 for tensor in noise)
    for sigma, following in pairwise(sigmas):
        clean = denoise(x, sigma)
        x = tuple(torch.lerp(c, v, following / sigma) for v, c in zip(x, clean, strict=True))
    return x
