"""The held-out loss over noise levels: a run enters; at which levels to measure, and the means of losses leave."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from vptrain.config import RunConfig

NUM_LEVELS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutLoss:
    """The mean loss over held-out windows at each noise level (its sigma as text, with three digits), and of these."""

    mean: float
    by_sigma: Mapping[str, float]


def levels() -> list[float]:
    """Standard normal quantiles in the middle of so many equally likely parts of what training draws sigmas from."""
    return [NormalDist().inv_cdf((i + 0.5) / NUM_LEVELS) for i in range(NUM_LEVELS)]


def sigma_at(level: float, run: RunConfig) -> float:
    """The noise level of what the stage's loss denoises: of the actions in stage 2, else of the video."""
    mean, std = run.log_sigma_mean, run.log_sigma_std
    if run.stage == "joint" and run.high_log_sigma_mean is not None:
        mean, std = run.high_log_sigma_mean, run.high_log_sigma_std
    return math.exp(mean + std * level)


def label(sigma: float) -> str:
    """As metrics name it."""
    return f"{sigma:.3g}"
