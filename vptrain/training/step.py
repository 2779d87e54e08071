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
from vptrain.objectives.edm import action_loss, draw_sigma, joint_loss, video_loss


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
    condition = _drop(condition, run, generator=generator)
    sigma = draw_sigma(len(batch), mean=run.log_sigma_mean, std=run.log_sigma_std, generator=generator).to(device)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    mask_BT = batch.mask_BT.to(device)
    if run.stage == "stage1":
        return video_loss(policy, latents, condition, sigma_B=sigma, noise=noise, mask_BT=mask_BT)
    if batch.actions_BAD is None:
        raise VptrainError(f"{run.stage} was given windows without actions.")
    action_sigma = sigma
    if run.high_log_sigma_mean is not None:
        sigma = draw_sigma(len(batch), mean=run.high_log_sigma_mean, std=run.log_sigma_std, generator=generator).to(
            device
        )
    targets: dict[str, Tensor] = {
        "actions_BAD": batch.actions_BAD.to(device),
        "sigma_B": sigma,
        "noise": noise,
        "action_noise": torch.randn(batch.actions_BAD.shape, generator=generator).to(device),
        "action_sigma_B": action_sigma,
        "mask_BA": batch.action_mask_BA.to(device),
    }
    if run.stage == "stage2":
        return action_loss(policy, latents, condition, **targets)
    stop = run.gradient_stop == "paper"
    return joint_loss(policy, latents, condition, **targets, mask_BT=mask_BT, stop_gradient=stop)


def _drop(condition: Condition, run: RunConfig, *, generator: torch.Generator) -> Condition:
    """Classifier-free dropout of text and first-frame latents, independently."""
    B, T = condition.latents_BTCHW.shape[:2]
    draws = torch.rand(2, B, T if run.drop == "frame" else 1, generator=generator) < run.drop_rate
    draws = draws.to(condition.latents_BTCHW.device)
    return condition.without(latents_BT=draws[0], text_BT=draws[1])
