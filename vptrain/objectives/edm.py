"""The EDM form of v-prediction (Karras et al. 2022, table 1, with sigma_data = 1), and the losses of both stages.

With D = c_skip·x + c_out·F(c_in·x) and weight (sigma²+1)/sigma², the weighted error of D equals the plain error of F
against the velocity (clean - c_skip·x)/c_out; the losses below use the latter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.unet import UNetOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditioning:
    """The four coefficients at noise levels (B,)."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor

    @classmethod
    def at(cls, sigma_B: Tensor) -> "Preconditioning":
        """c_skip = 1/(σ²+1), c_out = -σ/√(σ²+1), c_in = 1/√(σ²+1), c_noise = ln(σ)/4."""
        scale = (sigma_B.square() + 1).rsqrt()
        return cls(c_skip=scale.square(), c_out=-sigma_B * scale, c_in=scale, c_noise=sigma_B.log() / 4)


def like(values_B: Tensor, reference: Tensor) -> Tensor:
    """(B,) reshaped to multiply a tensor with a leading B."""
    return values_B.reshape(-1, *([1] * (reference.ndim - 1)))


def velocity(clean: Tensor, noisy: Tensor, p: Preconditioning) -> Tensor:
    """What the raw network should output: (clean - c_skip · noisy) / c_out."""
    return (clean - noisy * like(p.c_skip, noisy)) / like(p.c_out, noisy)


def draw_sigma(normal_B: Tensor, *, mean: float, std: float) -> Tensor:
    """Noise levels with ln(sigma) ~ N(mean, std²) from standard normal draws, one a window."""
    return (mean + std * normal_B).exp()


def denoise(
    policy: VideoPolicy,
    video_BTCHW: Tensor,
    sigma_B: Tensor,
    condition: Condition,
    *,
    actions_BAD: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The denoised video and actions, D, at noise levels (B,)."""
    p = Preconditioning.at(sigma_B)
    scaled_actions = None if actions_BAD is None else actions_BAD * like(p.c_in, actions_BAD)
    video, actions = policy(video_BTCHW * like(p.c_in, video_BTCHW), p.c_noise, condition, actions_BAD=scaled_actions)
    denoised = video_BTCHW * like(p.c_skip, video) + video * like(p.c_out, video)
    if actions is None or actions_BAD is None:
        return denoised, None
    return denoised, actions_BAD * like(p.c_skip, actions) + actions * like(p.c_out, actions)


def video_loss(
    policy: VideoPolicy, latents_BTCHW: Tensor, condition: Condition, *, sigma_B: Tensor, noise: Tensor, mask_BT: Tensor
) -> Tensor:
    """Stage 1: (B,) mean squared velocity error over the frames that exist (`mask_BT` true)."""
    p = Preconditioning.at(sigma_B)
    noisy = latents_BTCHW + noise * like(sigma_B, noise)
    output, _ = policy(noisy * like(p.c_in, noisy), p.c_noise, condition)
    error_BT: Tensor = (output - velocity(latents_BTCHW, noisy, p)).square().mean(dim=(2, 3, 4))
    return (error_BT * mask_BT).sum(dim=1) / mask_BT.sum(dim=1)


def action_loss(
    policy: VideoPolicy,
    latents_BTCHW: Tensor,
    condition: Condition,
    *,
    actions_BAD: Tensor,
    sigma_B: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    mask_BA: Tensor,
    action_sigma_B: Tensor | None = None,
) -> Tensor:
    """Stage 2: (B,) mean squared velocity error over the actions that exist.

    Video and actions share sigma, unless the actions have their own (`action_sigma_B`).
    """
    return head_loss(
        policy,
        noisy_features(policy, latents_BTCHW, condition, sigma_B=sigma_B, noise=noise),
        layout=condition.layout,
        actions_BAD=actions_BAD,
        sigma_B=sigma_B if action_sigma_B is None else action_sigma_B,
        action_noise=action_noise,
        mask_BA=mask_BA,
    )


def noisy_features(
    policy: VideoPolicy, latents_BTCHW: Tensor, condition: Condition, *, sigma_B: Tensor, noise: Tensor
) -> UNetOutput:
    """What the video UNet makes of latents at noise levels (B,)."""
    p = Preconditioning.at(sigma_B)
    noisy = latents_BTCHW + noise * like(sigma_B, noise)
    return policy.run_unet(noisy * like(p.c_in, noisy), p.c_noise, condition)


def head_loss(
    policy: VideoPolicy,
    features: UNetOutput,
    *,
    layout: Sequence[str],
    actions_BAD: Tensor,
    sigma_B: Tensor,
    action_noise: Tensor,
    mask_BA: Tensor,
) -> Tensor:
    """(B,) mean squared velocity error of the action head on given features; `sigma_B` is the actions' own."""
    p = Preconditioning.at(sigma_B)
    noisy = actions_BAD + action_noise * like(sigma_B, action_noise)
    vision = policy.vision(features, layout=layout)
    output = policy.run_head(noisy * like(p.c_in, noisy), p.c_noise, vision_BE=vision)
    error_BA: Tensor = (output - velocity(actions_BAD, noisy, p)).square().mean(dim=2)
    return (error_BA * mask_BA).sum(dim=1) / mask_BA.sum(dim=1)


def joint_loss(
    policy: VideoPolicy,
    latents_BTCHW: Tensor,
    condition: Condition,
    *,
    actions_BAD: Tensor,
    sigma_B: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    mask_BT: Tensor,
    mask_BA: Tensor,
    action_sigma_B: Tensor | None = None,
    stop_gradient: bool = True,
) -> Tensor:
    """Joint training: (B,) mean velocity error over the frames and actions that exist, every one of them a row alike.

    Args:
        stop_gradient: True as in the paper: the actions' errors do not reach the UNet; False as in the reference.
    """
    error_BT, error_BA = _both_errors(
        policy,
        latents_BTCHW,
        condition,
        actions_BAD=actions_BAD,
        sigma_B=sigma_B,
        noise=noise,
        action_noise=action_noise,
        action_sigma_B=sigma_B if action_sigma_B is None else action_sigma_B,
        stop_gradient=stop_gradient,
    )
    total = (error_BT * mask_BT).sum(dim=1) + (error_BA * mask_BA).sum(dim=1)
    return total / (mask_BT.sum(dim=1) + mask_BA.sum(dim=1))


def reference_loss(
    policy: VideoPolicy,
    latents_BTCHW: Tensor,
    condition: Condition,
    *,
    actions_BAD: Tensor,
    sigma_B: Tensor,
    noise: Tensor,
    action_noise: Tensor,
) -> Tensor:
    """The scalar that the public implementation reports and minimises in stage 2 and in joint training.

    It is the mean over all B·T video rows and B·A action rows together, those past the episode's end included, and
    lets the actions' gradients through. In stage 2, where the UNet is frozen, the video rows only add a constant:
    its gradient is that of `action_loss` times A / (T + A), which Adam does not notice.
    """
    B, T = latents_BTCHW.shape[:2]
    everything = torch.ones(B, T + actions_BAD.shape[1], dtype=torch.bool, device=latents_BTCHW.device)
    return joint_loss(
        policy,
        latents_BTCHW,
        condition,
        actions_BAD=actions_BAD,
        sigma_B=sigma_B,
        noise=noise,
        action_noise=action_noise,
        mask_BT=everything[:, :T],
        mask_BA=everything[:, T:],
        stop_gradient=False,
    ).mean()


def _both_errors(
    policy: VideoPolicy,
    latents_BTCHW: Tensor,
    condition: Condition,
    *,
    actions_BAD: Tensor,
    sigma_B: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    action_sigma_B: Tensor,
    stop_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """Squared velocity errors of every frame (B, T) and every action (B, A)."""
    p, q = Preconditioning.at(sigma_B), Preconditioning.at(action_sigma_B)
    noisy = latents_BTCHW + noise * like(sigma_B, noise)
    noisy_actions = actions_BAD + action_noise * like(action_sigma_B, action_noise)
    video, actions = policy(
        noisy * like(p.c_in, noisy),
        p.c_noise,
        condition,
        actions_BAD=noisy_actions * like(q.c_in, noisy_actions),
        action_c_noise_B=q.c_noise,
        stop_gradient=stop_gradient,
    )
    error_BT = (video - velocity(latents_BTCHW, noisy, p)).square().mean(dim=(2, 3, 4))
    error_BA = (actions - velocity(actions_BAD, noisy_actions, q)).square().mean(dim=2)
    return error_BT, error_BA
