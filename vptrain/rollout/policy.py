"""Observations in, predicted video and actions out: the whole chain from pixels to normalised actions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vptrain.batch import Batch
from vptrain.config import SamplingConfig
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import images_to_unit, unit_to_images
from vptrain.objectives.edm import denoise
from vptrain.sampling.euler import euler, karras_sigmas


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """`frames_BVFHWC` uint8, None where no video was asked for; `actions_BAD` normalised, None without a head."""

    frames_BVFHWC: Tensor | None
    actions_BAD: Tensor | None


@torch.no_grad()
def predict(
    policy: VideoPolicy,
    batch: Batch,
    *,
    text: CachedText,
    sampling: SamplingConfig,
    seed: int,
    with_actions: bool,
    with_video: bool = True,
) -> Prediction:
    """Generates what follows each window's first frames; only those frames and the instructions are looked at."""
    device = next(policy.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    first = images_to_unit(batch.frames_BVFHWC[:, :, 0].to(device))
    condition = policy.encode_condition(
        first, text.encode(batch.instructions).to(device), layout=batch.layout, generator=generator
    )
    noise = [torch.randn(condition.latents_BTCHW.shape, generator=generator).to(device)]
    if with_actions:
        shape = (len(batch), policy.config.horizon, policy.head.out.out_channels)
        noise.append(torch.randn(shape, generator=generator).to(device))

    def guided(x: tuple[Tensor, ...], sigma: float) -> tuple[Tensor, ...]:
        return _guided(policy, x, sigma, condition, guidance=sampling.guidance)

    sigmas = karras_sigmas(
        sampling.num_steps, sigma_max=sampling.sigma_max, sigma_min=sampling.sigma_min, rho=sampling.rho
    )
    clean = euler(guided, noise, sigmas)
    return Prediction(
        frames_BVFHWC=unit_to_images(policy.decode_video(clean[0])).cpu() if with_video else None,
        actions_BAD=clean[1].cpu() if with_actions else None,
    )


def _guided(
    policy: VideoPolicy, x: tuple[Tensor, ...], sigma: float, condition: Condition, *, guidance: float
) -> tuple[Tensor, ...]:
    """D without condition + guidance · (D with it - D without it); one pass where guidance is 1."""
    sigma_B = torch.full((x[0].shape[0],), sigma, device=x[0].device)
    actions = x[1] if len(x) > 1 else None
    conditional = _denoised(policy, x[0], sigma_B, condition, actions)
    if guidance == 1:
        return conditional
    unconditional = _denoised(policy, x[0], sigma_B, condition.without(), actions)
    return tuple(torch.lerp(u, c, guidance) for u, c in zip(unconditional, conditional, strict=True))


def _denoised(
    policy: VideoPolicy, video: Tensor, sigma_B: Tensor, condition: Condition, actions: Tensor | None
) -> tuple[Tensor, ...]:
    clean, clean_actions = denoise(policy, video, sigma_B, condition, actions_BAD=actions)
    return (clean,) if clean_actions is None else (clean, clean_actions)
