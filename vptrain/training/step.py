"""One step's arithmetic: batches in, the loss of a stage out.

Every random draw comes from the given generator, but for the colour jitter's, which follow from the windows' positions.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vptrain.augment import color_jitter, jitter_draws
from vptrain.batch import Batch
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.text import CachedText
from vptrain.models.unet import UNetOutput
from vptrain.normalize import images_to_unit
from vptrain.objectives.edm import draw_sigma, head_loss, joint_loss, noisy_features, video_loss


def step_generator(run: RunConfig, step: int, *, purpose: str = "") -> torch.Generator:
    """The source of all of a step's draws: a function of seed, stage and step, so that a resumed run draws the same.

    Another `purpose` gives independent draws.
    """
    digest = hashlib.blake2b(f"{run.seed}:{run.stage}:{purpose}{step}".encode(), digest_size=7).digest()
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
    if run.stage == "stage2":
        return feature_losses(
            policy, draw_features(policy, batch, text=text, run=run, generator=generator), run=run, generator=generator
        )
    drawn = _draw(policy, batch, text=text, run=run, generator=generator)
    mask_BT = batch.mask_BT.to(drawn.noise.device)
    if run.stage == "stage1":
        return video_loss(
            policy, drawn.latents, drawn.condition, sigma_B=drawn.sigma_B, noise=drawn.noise, mask_BT=mask_BT
        )
    targets = _targets(batch, run, drawn.noise.device)
    return joint_loss(
        policy,
        drawn.latents,
        drawn.condition,
        actions_BAD=targets.actions_BAD,
        mask_BA=targets.mask_BA,
        sigma_B=drawn.sigma_B,
        noise=drawn.noise,
        **_action_draws(targets, drawn.sigma_B, run, generator=generator),
        mask_BT=mask_BT,
        stop_gradient=run.gradient_stop == "paper",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """A batch as the frozen video UNet sees it at one draw of noise; stage 2 may learn from it several times."""

    layout: tuple[str, ...]
    targets: "_Targets"
    output: UNetOutput
    sigma_B: Tensor


@torch.no_grad()
def draw_features(
    policy: VideoPolicy, batch: Batch, *, text: CachedText, run: RunConfig, generator: torch.Generator
) -> Features:
    """The frozen part of stage 2: encodes, draws noise, and runs the video UNet."""
    drawn = _draw(policy, batch, text=text, run=run, generator=generator)
    output = noisy_features(policy, drawn.latents, drawn.condition, sigma_B=drawn.sigma_B, noise=drawn.noise)
    targets = _targets(batch, run, drawn.sigma_B.device)
    return Features(layout=batch.layout, targets=targets, output=output, sigma_B=drawn.sigma_B)


def feature_losses(policy: VideoPolicy, features: Features, *, run: RunConfig, generator: torch.Generator) -> Tensor:
    """The trained part of stage 2: (B,) losses of encoder and head, with a new draw of the actions' noise."""
    draws = _action_draws(features.targets, features.sigma_B, run, generator=generator)
    return head_loss(
        policy,
        features.output,
        layout=features.layout,
        actions_BAD=features.targets.actions_BAD,
        sigma_B=draws["action_sigma_B"],
        action_noise=draws["action_noise"],
        mask_BA=features.targets.mask_BA,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draw:
    latents: Tensor
    condition: Condition
    sigma_B: Tensor
    noise: Tensor


def _draw(policy: VideoPolicy, batch: Batch, *, text: CachedText, run: RunConfig, generator: torch.Generator) -> _Draw:
    """Latents, condition with dropout, and the video's noise."""
    device = next(policy.parameters()).device
    frames = images_to_unit(batch.frames_BVFHWC.to(device))
    if run.color_jitter and batch.positions is not None:
        frames = color_jitter(frames, jitter_draws(run.seed, batch.positions, num_cameras=len(batch.layout)))
    latents = policy.encode_video(frames, generator=generator)
    first = frames[:, :, 0]
    condition = policy.encode_condition(
        first,
        text.encode(batch.instructions).to(device),
        layout=batch.layout,
        noise_BVCHW=torch.randn(first.shape, generator=generator).to(device),
    )
    condition = _drop(condition, run, generator=generator)
    mean, std = run.log_sigma_mean, run.log_sigma_std
    if run.stage != "stage1" and run.high_log_sigma_mean is not None:
        mean, std = run.high_log_sigma_mean, run.high_log_sigma_std
    sigma = draw_sigma(len(batch), mean=mean, std=std, generator=generator).to(device)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    return _Draw(latents=latents, condition=condition, sigma_B=sigma, noise=noise)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Targets:
    """The actions to learn, normalised, and false where there is none; on the policy's device."""

    actions_BAD: Tensor
    mask_BA: Tensor


def _targets(batch: Batch, run: RunConfig, device: torch.device) -> _Targets:
    if batch.actions_BAD is None:
        raise VptrainError(f"{run.stage} was given windows without actions.")
    return _Targets(actions_BAD=batch.actions_BAD.to(device), mask_BA=batch.action_mask_BA.to(device))


def _action_draws(
    targets: _Targets, sigma_B: Tensor, run: RunConfig, *, generator: torch.Generator
) -> dict[str, Tensor]:
    """The actions' noise, and their sigma: the video's, or one of their own where the video's is held high."""
    if run.high_log_sigma_mean is not None:
        drawn = draw_sigma(len(targets.mask_BA), mean=run.log_sigma_mean, std=run.log_sigma_std, generator=generator)
        sigma_B = drawn.to(sigma_B.device)
    noise = torch.randn(targets.actions_BAD.shape, generator=generator)
    return {"action_sigma_B": sigma_B, "action_noise": noise.to(sigma_B.device)}


def _drop(condition: Condition, run: RunConfig, *, generator: torch.Generator) -> Condition:
    """Classifier-free dropout of text and first-frame latents, independently."""
    B, T = condition.latents_BTCHW.shape[:2]
    draws = torch.rand(2, B, T if run.drop == "frame" else 1, generator=generator) < run.drop_rate
    draws = draws.to(condition.latents_BTCHW.device)
    return condition.without(latents_BT=draws[0], text_BT=draws[1])
