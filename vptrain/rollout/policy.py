"""Observations in, predicted video and actions out: the whole chain from pixels to normalised actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from vptrain.batch import Batch
from vptrain.config import SamplingConfig
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import images_to_unit, unit_to_images
from vptrain.objectives.edm import Preconditioning, denoise, like
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
    seeds: Sequence[int],
    with_actions: bool,
    with_video: bool = True,
) -> Prediction:
    """Generates what follows each window's first frames; only those frames and the instructions are looked at.

    Args:
        policy: on its device.
        batch: the windows.
        text: encodes the instructions.
        sampling: how to sample.
        seeds: one a window. All of a window's noise follows from its seed, whatever else is in the batch.
        with_actions: whether to predict actions.
        with_video: whether to decode the video.
    """
    device = next(policy.parameters()).device
    generators = [torch.Generator().manual_seed(seed) for _, seed in zip(batch.instructions, seeds, strict=True)]

    def noise(*shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(device)

    first = images_to_unit(batch.pictures_BVFHWC[:, :, 0].to(device))
    condition = policy.encode_condition(
        first,
        text.encode(batch.instructions).to(device),
        layout=batch.layout,
        noise_BVCHW=noise(*first.shape[1:]),
    )
    sigmas = karras_sigmas(
        sampling.num_steps, sigma_max=sampling.sigma_max, sigma_min=sampling.sigma_min, rho=sampling.rho
    )
    video_noise = noise(*condition.latents_BTCHW.shape[1:])
    action_noise = noise(policy.config.horizon, policy.head.out.out_channels)

    def guided(x: tuple[Tensor, ...], sigma: float) -> tuple[Tensor, ...]:
        return _guided(policy, x, sigma, condition, guidance=sampling.guidance)

    latents = actions = None
    if with_actions and sampling.video_steps is None:
        latents, actions = euler(guided, [video_noise, action_noise], sigmas)
    elif with_actions:
        begun = euler(guided, [video_noise], sigmas[: sampling.video_steps])[0]
        visions = _visions(policy, begun, sigmas[cast(int, sampling.video_steps) - 1], condition, sampling.guidance)
        actions = _denoised_actions(policy, action_noise, sigmas, visions, guidance=sampling.guidance)
    if with_video and latents is None:
        (latents,) = euler(guided, [video_noise], sigmas)
    return Prediction(
        frames_BVFHWC=unit_to_images(policy.decode_video(latents)).cpu()
        if with_video and latents is not None
        else None,
        actions_BAD=None if actions is None else actions.cpu(),
    )


def _visions(
    policy: VideoPolicy, latents: Tensor, sigma: float, condition: Condition, guidance: float
) -> tuple[Tensor, ...]:
    """The encoder's vector for one step of the video, with the condition and, for guidance, without it."""
    p = Preconditioning.at(torch.full((latents.shape[0],), sigma, device=latents.device))
    conditions = (condition,) if guidance == 1 else (condition, condition.without())
    outputs = [policy.run_unet(latents * like(p.c_in, latents), p.c_noise, seen) for seen in conditions]
    return tuple(policy.vision(output, layout=condition.layout) for output in outputs)


def _denoised_actions(
    policy: VideoPolicy, noise: Tensor, sigmas: Sequence[float], visions: tuple[Tensor, ...], *, guidance: float
) -> Tensor:
    """The action head's own Euler steps with fixed vision vectors."""

    def clean(x: tuple[Tensor, ...], sigma: float) -> tuple[Tensor, ...]:
        p = Preconditioning.at(torch.full((noise.shape[0],), sigma, device=noise.device))
        outputs = [policy.run_head(x[0] * like(p.c_in, x[0]), p.c_noise, vision_BE=vision) for vision in visions]
        output = outputs[0] if len(outputs) == 1 else torch.lerp(outputs[1], outputs[0], guidance)
        return (x[0] * like(p.c_skip, output) + output * like(p.c_out, output),)

    return euler(clean, [noise], sigmas)[0]


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
