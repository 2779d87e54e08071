import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from vptrain.config import SamplingConfig
from vptrain.sampling.euler import euler, karras_sigmas

METHOD = SamplingConfig()
MEAN, VARIANCE = 0.7, 0.25


def schedule(num_steps: int) -> list[float]:
    return karras_sigmas(num_steps, sigma_max=METHOD.sigma_max, sigma_min=METHOD.sigma_min, rho=METHOD.rho)


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """The ideal denoiser of data ~ N(MEAN, VARIANCE)."""
    return (VARIANCE * x + sigma**2 * MEAN) / (VARIANCE + sigma**2)


def exact(start: Tensor, sigma: float) -> Tensor:
    """Where the probability-flow ODE takes `start` from noise level sigma to 0."""
    return MEAN + (start - MEAN) * math.sqrt(VARIANCE / (VARIANCE + sigma**2))


def starts(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_the_schedule_is_the_methods() -> None:
    sigmas = schedule(30)
    assert len(sigmas) == 31
    assert sigmas[0] == pytest.approx(700)
    assert sigmas[-2] == pytest.approx(0.002)
    assert sigmas[-1] == 0
    roots = [sigma ** (1 / 7) for sigma in sigmas[:-1]]
    gaps = [a - b for a, b in pairwise(roots)]
    assert max(gaps) == pytest.approx(min(gaps))
    assert min(gaps) > 0
    assert schedule(1) == [700, 0]


def test_it_is_the_plain_formula() -> None:
    noise, sigmas = starts(), schedule(30)
    x = noise * math.sqrt(1 + 700**2)
    for i in range(30):
        slope = (x - gaussian(x, sigmas[i])) / sigmas[i]
        x = x + (sigmas[i + 1] - sigmas[i]) * slope
    (got,) = euler(lambda given, sigma: (gaussian(given[0], sigma),), [noise], sigmas)
    torch.testing.assert_close(got, x, rtol=1e-9, atol=1e-9)


def test_many_steps_approach_the_exact_solution() -> None:
    noise = starts()
    truth = exact(noise * math.sqrt(1 + 700**2), 700)
    errors = []
    for num_steps in (10, 100, 1000):
        (got,) = euler(lambda given, sigma: (gaussian(given[0], sigma),), [noise], schedule(num_steps))
        errors.append((got - truth).abs().max().item())
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert errors[2] < 0.01


def test_single_precision_is_enough() -> None:
    single, double = (
        euler(lambda given, sigma: (gaussian(given[0], sigma),), [noise], schedule(30))[0]
        for noise in (starts().float(), starts())
    )
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_the_last_step_lands_on_what_the_denoiser_says() -> None:
    (got,) = euler(lambda given, _: (torch.full_like(given[0], 0.25),), [starts()], schedule(5))
    assert torch.equal(got, torch.full_like(got, 0.25))


def test_tensors_are_denoised_together() -> None:
    seen: list[tuple[float, int]] = []

    def both(given: tuple[Tensor, ...], sigma: float) -> tuple[Tensor, ...]:
        seen.append((sigma, len(given)))
        return gaussian(given[0], sigma), given[1] * 0 + given[0].mean()

    video, actions = euler(both, [starts(), starts()[:5]], schedule(4))
    assert seen == [(sigma, 2) for sigma in schedule(4)[:-1]]
    (alone,) = euler(lambda given, sigma: (gaussian(given[0], sigma),), [starts()], schedule(4))
    assert torch.equal(video, alone)
    assert actions.shape == (5,)
