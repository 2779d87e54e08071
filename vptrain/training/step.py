"""One step's arithmetic: batches in, the loss of a stage out. Every random draw comes from the given generator."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from vptrain.augment import color_jitter
from vptrain.batch import Batch
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import images_to_unit
from vptrain.objectives.edm import action_loss, draw_sigma, video_loss


def step_generator(run: RunConfig, step: int) -> torch.Generator:
    """The source of all of a step's draws: a function of seed, stage and step, so that a resumed run draws the same."""
    digest = hashlib.blake2b(f"{run.seed}:{run.stage}:{step}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def mean_loss(
    policy: VideoPolicy, batches: Sequence[Batch], *, text: CachedText, run: RunConfig, generator: torch.Generator
) -> Tensor:
    """The mean loss over all windows of one or more batches."""
    count = sum(len(batch) for batch in batches)
    losses = [window_losses(policy, batch, text=text, run=run, generator=generator).sum() for batch in batches]
    return torch.stack(losses).sum() / count


def window_losses(
    policy: VideoPolicy, batch: Batch, *, text: CachedText, run: RunConfig, generator: torch.Generator
) -> Tensor:
    """(B,) losses of the run's stage."""
    device = next(policy.parameters()).device
    frames = images_to_unit(batch.frames_BVFHWC.to(device))
    if run.color_jitter:
        frames = color_jitter(frames, generator=generator)
    latents = policy.encode_video(frames, generator=generator)
    condition = policy.encode_condition(
        frames[:, :, 0], text.encode(batch.instructions).to(device), layout=batch.layout, generator=generator
    )
    condition = _drop(condition, rate=run.drop_rate, generator=generator)
    sigma = draw_sigma(len(batch), mean=run.log_sigma_mean, std=run.log_sigma_std, generator=generator).to(device)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    if run.stage == "stage1":
        return video_loss(policy, latents, condition, sigma_B=sigma, noise=noise, mask_BT=batch.mask_BT.to(device))
    if batch.actions_BAD is None:
        raise VptrainError("stage 2 was given windows without actions.")
    return action_loss(
        policy,
        latents,
        condition,
        actions_BAD=batch.actions_BAD.to(device),
        sigma_B=sigma,
        noise=noise,
        action_noise=torch.randn(batch.actions_BAD.shape, generator=generator).to(device),
        mask_BA=batch.action_mask_BA.to(device),
    )


def _drop(condition: Condition, *, rate: float, generator: torch.Generator) -> Condition:
    """Classifier-free dropout for whole clips: text and first-frame latents independently."""
    draws = torch.rand(2, condition.latents_BTCHW.shape[0], generator=generator).to(condition.latents_BTCHW.device)
    return condition.without(latents_B=draws[0] < rate, text_B=draws[1] < rate)
