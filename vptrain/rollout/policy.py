"""Observations in, predicted video and actions out: the whole chain from pixels to normalised actions."""

from dataclasses import dataclass

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
    seed: int,
    with_actions: bool,
    with_video: bool = True,
) -> Prediction:
    """Generates what follows each window's first frames; only those frames and the instructions are looked at."""
    condition, generator, device = _condition(policy, batch, text, seed)
    noise = [torch.randn(condition.latents_BTCHW.shape, generator=generator).to(device)]
    if with_actions:
        noise.append(_action_noise(policy, batch, generator).to(device))

    def guided(x: tuple[Tensor, ...], sigma: float) -> tuple[Tensor, ...]:
        return _guided(policy, x, sigma, condition, guidance=sampling.guidance)

    clean = euler(guided, noise, _sigmas(sampling, sampling.num_steps))
    return Prediction(
        frames_BVFHWC=unit_to_images(policy.decode_video(clean[0])).cpu() if with_video else None,
        actions_BAD=clean[1].cpu() if with_actions else None,
    )


@torch.no_grad()
def predict_actions(
    policy: VideoPolicy, batch: Batch, *, text: CachedText, sampling: SamplingConfig, seed: int, video_steps: int
) -> Tensor:
    """Actions (B, A, D), normalised, from the features of the video's step number `video_steps` of the schedule.

    The video UNet runs `video_steps` times instead of at every step of the actions, and no video is decoded. It is for
    policies whose head was trained with the actions' sigma independent of the video's (`high_log_sigma_mean`).
    """
    if not 1 <= video_steps <= sampling.num_steps:
        raise ValueError(f"video_steps {video_steps} is not in [1, {sampling.num_steps}]")
    condition, generator, device = _condition(policy, batch, text, seed)
    sigmas = _sigmas(sampling, sampling.num_steps)
    noise = torch.randn(condition.latents_BTCHW.shape, generator=generator).to(device)

    def video(x: tuple[Tensor, ...], sigma: float) -> tuple[Tensor, ...]:
        return _guided(policy, x, sigma, condition, guidance=sampling.guidance)

    (latents,) = euler(video, [noise], sigmas[:video_steps])
    conditions = (condition,) if sampling.guidance == 1 else (condition, condition.without())
    p = Preconditioning.at(torch.full((len(batch),), sigmas[video_steps - 1], device=device))
    visions = []
    for seen in conditions:
        output = policy.run_unet(latents * like(p.c_in, latents), p.c_noise, seen)
        visions.append(policy.vision(output, layout=seen.layout))

    def actions(x: tuple[Tensor, ...], sigma: float) -> tuple[Tensor, ...]:
        q = Preconditioning.at(torch.full((len(batch),), sigma, device=device))
        outputs = [policy.run_head(x[0] * like(q.c_in, x[0]), q.c_noise, vision_BE=vision) for vision in visions]
        clean = [x[0] * like(q.c_skip, output) + output * like(q.c_out, output) for output in outputs]
        return (clean[0] if len(clean) == 1 else torch.lerp(clean[1], clean[0], sampling.guidance),)

    (clean,) = euler(actions, [_action_noise(policy, batch, generator).to(device)], sigmas)
    return clean.cpu()


def _condition(
    policy: VideoPolicy, batch: Batch, text: CachedText, seed: int
) -> tuple[Condition, torch.Generator, torch.device]:
    device = next(policy.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    first = images_to_unit(batch.frames_BVFHWC[:, :, 0].to(device))
    embedded = text.encode(batch.instructions).to(device)
    condition = policy.encode_condition(first, embedded, layout=batch.layout, generator=generator)
    return condition, generator, device


def _action_noise(policy: VideoPolicy, batch: Batch, generator: torch.Generator) -> Tensor:
    return torch.randn(len(batch), policy.config.horizon, policy.head.out.out_channels, generator=generator)


def _sigmas(sampling: SamplingConfig, num_steps: int) -> list[float]:
    return karras_sigmas(num_steps, sigma_max=sampling.sigma_max, sigma_min=sampling.sigma_min, rho=sampling.rho)


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
