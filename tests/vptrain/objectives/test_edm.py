from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from micro import MICRO
from torch import Tensor, nn

from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.objectives.edm import (
    Preconditioning,
    action_loss,
    denoise,
    draw_sigma,
    joint_loss,
    reference_loss,
    velocity,
    video_loss,
)

B, T = 2, 10
SIGMA = torch.tensor([0.3, 20.0])


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LATENTS, NOISE = normal(B, T, 4, 8, 8, seed=0), normal(B, T, 4, 8, 8, seed=1)
ACTIONS, ACTION_NOISE = normal(B, MICRO.horizon, 7, seed=2), normal(B, MICRO.horizon, 7, seed=3)
CONDITION = Condition(
    latents_BTCHW=normal(B, T, 4, 8, 8, seed=4), text_BTE=normal(B, T, 16, seed=5), layout=MICRO.cameras
)
ALL_FRAMES, ALL_ACTIONS = torch.ones(B, T, dtype=torch.bool), torch.ones(B, MICRO.horizon, dtype=torch.bool)


def like(values: Tensor, reference: Tensor) -> Tensor:
    return values.reshape(-1, *([1] * (reference.ndim - 1)))


def test_coefficients_are_those_of_the_method() -> None:
    p = Preconditioning.at(SIGMA)
    for i, sigma in enumerate(SIGMA.tolist()):
        assert p.c_skip[i].item() == pytest.approx(1 / (sigma**2 + 1))
        assert p.c_out[i].item() == pytest.approx(-sigma / (sigma**2 + 1) ** 0.5)
        assert p.c_in[i].item() == pytest.approx(1 / (sigma**2 + 1) ** 0.5)
    torch.testing.assert_close(p.c_noise, SIGMA.log() / 4)


def test_the_weighted_error_of_d_is_the_plain_error_of_the_velocity() -> None:
    p, output = Preconditioning.at(SIGMA), normal(B, T, 4, 8, 8, seed=6)
    noisy = LATENTS + NOISE * like(SIGMA, NOISE)
    denoised = noisy * like(p.c_skip, noisy) + output * like(p.c_out, noisy)
    weighted = (denoised - LATENTS).square() * like((SIGMA.square() + 1) / SIGMA.square(), noisy)
    torch.testing.assert_close(weighted, (output - velocity(LATENTS, noisy, p)).square(), rtol=1e-3, atol=1e-4)


def test_a_network_with_the_right_velocity_denoises_exactly() -> None:
    p = Preconditioning.at(SIGMA)
    noisy = LATENTS + NOISE * like(SIGMA, NOISE)
    denoised = noisy * like(p.c_skip, noisy) + velocity(LATENTS, noisy, p) * like(p.c_out, noisy)
    torch.testing.assert_close(denoised, LATENTS, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_d_is_the_input_without_noise_and_forgets_it_in_much(policy: VideoPolicy) -> None:
    video, actions = denoise(policy, LATENTS, torch.full((B,), 1e-5), CONDITION, actions_BAD=ACTIONS)
    torch.testing.assert_close(video, LATENTS, atol=1e-3, rtol=0)
    assert actions is not None
    torch.testing.assert_close(actions, ACTIONS, atol=1e-3, rtol=0)
    much = torch.full((B,), 1e5)
    video, _ = denoise(policy, LATENTS * 1e5, much, CONDITION)
    output, _ = policy(LATENTS, much.log() / 4, CONDITION)
    torch.testing.assert_close(video, -output, atol=2e-2, rtol=1e-2)


def test_the_video_loss_is_the_velocity_error_of_the_network(policy: VideoPolicy) -> None:
    p = Preconditioning.at(SIGMA)
    noisy = LATENTS + NOISE * like(SIGMA, NOISE)
    with torch.no_grad():
        output, _ = policy(noisy * like(p.c_in, noisy), p.c_noise, CONDITION)
        loss = video_loss(policy, LATENTS, CONDITION, sigma_B=SIGMA, noise=NOISE, mask_BT=ALL_FRAMES)
        denoised, _ = denoise(policy, noisy, SIGMA, CONDITION)
    torch.testing.assert_close(loss, (output - velocity(LATENTS, noisy, p)).square().mean(dim=(1, 2, 3, 4)))
    weighted = (denoised - LATENTS).square().mean(dim=(1, 2, 3, 4)) * (SIGMA.square() + 1) / SIGMA.square()
    torch.testing.assert_close(loss, weighted, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def constant_policy() -> VideoPolicy:
    """A policy whose last layers ignore their input, so that what a loss looks at shows in its value."""
    policy = initial_policy(MICRO, seed=1)
    for layer in (policy.unet.conv_out, policy.head.out):
        nn.init.zeros_(layer.weight)
    return policy


def losses(policy: VideoPolicy, **changes: Tensor) -> dict[str, Tensor]:
    """(B,) losses of every kind, with something replaced."""
    given = {
        "latents": LATENTS,
        "actions": ACTIONS,
        "noise": NOISE,
        "action_noise": ACTION_NOISE,
        "mask_BT": ALL_FRAMES,
        "mask_BA": ALL_ACTIONS,
    } | changes
    latents, frames = given["latents"], given["mask_BT"]
    of_actions = {
        "actions_BAD": given["actions"],
        "sigma_B": SIGMA,
        "noise": given["noise"],
        "action_noise": given["action_noise"],
        "mask_BA": given["mask_BA"],
    }
    with torch.no_grad():
        return {
            "video": video_loss(policy, latents, CONDITION, sigma_B=SIGMA, noise=given["noise"], mask_BT=frames),
            "action": action_loss(policy, latents, CONDITION, **of_actions),
            "joint": joint_loss(policy, latents, CONDITION, **of_actions, mask_BT=frames),
        }


def changed(values: Tensor, *, window: int, row: int) -> Tensor:
    other = values.clone()
    other[window, row] += 3
    return other


@pytest.mark.parametrize("what", ["latents", "noise"])
def test_frames_that_do_not_exist_do_not_count(constant_policy: VideoPolicy, what: str) -> None:
    mask = ALL_FRAMES.clone()
    mask[1, 7:] = False
    values = {"latents": LATENTS, "noise": NOISE}[what]
    before = losses(constant_policy, mask_BT=mask)
    absent = losses(constant_policy, mask_BT=mask, **{what: changed(values, window=1, row=8)})
    present = losses(constant_policy, mask_BT=mask, **{what: changed(values, window=1, row=6)})
    for kind in ("video", "joint"):
        assert torch.equal(before[kind], absent[kind])
        assert before[kind][0] == present[kind][0]
        assert before[kind][1] != present[kind][1]


@pytest.mark.parametrize("what", ["actions", "action_noise"])
def test_actions_that_do_not_exist_do_not_count(constant_policy: VideoPolicy, what: str) -> None:
    mask = ALL_ACTIONS.clone()
    mask[0, 5:] = False
    values = {"actions": ACTIONS, "action_noise": ACTION_NOISE}[what]
    before = losses(constant_policy, mask_BA=mask)
    absent = losses(constant_policy, mask_BA=mask, **{what: changed(values, window=0, row=5)})
    present = losses(constant_policy, mask_BA=mask, **{what: changed(values, window=0, row=4)})
    for kind in ("action", "joint"):
        assert torch.equal(before[kind], absent[kind])
        assert before[kind][0] != present[kind][0]
        assert before[kind][1] == present[kind][1]


def test_a_mask_takes_the_mean_over_what_is_left(constant_policy: VideoPolicy) -> None:
    whole = losses(constant_policy)
    first, last = ALL_FRAMES.clone(), ALL_FRAMES.clone()
    first[:, 4:], last[:, :4] = False, False
    halves = [losses(constant_policy, mask_BT=mask)["video"] for mask in (first, last)]
    torch.testing.assert_close(whole["video"], (4 * halves[0] + 6 * halves[1]) / T)
    rows = T + MICRO.horizon
    torch.testing.assert_close(whole["joint"], (T * whole["video"] + MICRO.horizon * whole["action"]) / rows)


def gradients(policy: VideoPolicy, loss: Callable[[], Tensor]) -> set[str]:
    """The parts that a loss's gradient reaches."""
    policy.requires_grad_(True)
    policy.zero_grad(set_to_none=True)
    loss().sum().backward()
    reached = {name.split(".")[0] for name, value in policy.named_parameters() if value.grad is not None}
    policy.zero_grad(set_to_none=True)
    return reached


def test_whose_parameters_each_loss_teaches() -> None:
    policy = initial_policy(MICRO, seed=0)
    of_video = {"sigma_B": SIGMA, "noise": NOISE}
    of_actions = of_video | {"actions_BAD": ACTIONS, "action_noise": ACTION_NOISE, "mask_BA": ALL_ACTIONS}
    heads = {"encoder", "head"}
    assert gradients(policy, lambda: video_loss(policy, LATENTS, CONDITION, **of_video, mask_BT=ALL_FRAMES)) == {"unet"}
    assert gradients(policy, lambda: action_loss(policy, LATENTS, CONDITION, **of_actions)) == heads
    assert gradients(policy, lambda: joint_loss(policy, LATENTS, CONDITION, **of_actions, mask_BT=ALL_FRAMES)) == {
        "unet",
        *heads,
    }


@pytest.mark.parametrize("stop", [True, False])
def test_action_errors_move_the_unet_in_joint_training_only_as_in_the_reference(stop: bool) -> None:
    policy = initial_policy(MICRO, seed=0).requires_grad_(True)

    def unet_gradient(actions: Tensor) -> Tensor:
        policy.zero_grad(set_to_none=True)
        joint_loss(
            policy,
            LATENTS,
            CONDITION,
            actions_BAD=actions,
            sigma_B=SIGMA,
            noise=NOISE,
            action_noise=ACTION_NOISE,
            mask_BT=ALL_FRAMES,
            mask_BA=ALL_ACTIONS,
            stop_gradient=stop,
        ).sum().backward()
        gradient: Tensor = policy.unet.conv_in.weight.grad.clone()
        return gradient

    assert torch.equal(unet_gradient(ACTIONS), unet_gradient(ACTIONS + 1)) is stop


def test_the_references_scalar_is_the_weighted_error_over_all_rows_together(policy: VideoPolicy) -> None:
    noisy, noisy_actions = (LATENTS + NOISE * like(SIGMA, NOISE), ACTIONS + ACTION_NOISE * like(SIGMA, ACTION_NOISE))
    with torch.no_grad():
        video, actions = denoise(policy, noisy, SIGMA, CONDITION, actions_BAD=noisy_actions)
        assert actions is not None
        weight = (SIGMA.square() + 1) / SIGMA.square()
        frame_rows = ((video - LATENTS).square() * like(weight, video)).flatten(0, 1).flatten(1).mean(dim=1)
        action_rows = ((actions - ACTIONS).square() * like(weight, actions)).flatten(0, 1).mean(dim=1)
        assert (len(frame_rows), len(action_rows)) == (B * T, B * MICRO.horizon)
        expected = torch.cat([frame_rows, action_rows]).mean()
        got = reference_loss(
            policy,
            LATENTS,
            CONDITION,
            actions_BAD=ACTIONS,
            sigma_B=SIGMA,
            noise=NOISE,
            action_noise=ACTION_NOISE,
        )
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_the_references_scalar_teaches_the_head_as_our_action_loss_does() -> None:
    policy = initial_policy(MICRO, seed=0).requires_grad_(True)
    policy.unet.requires_grad_(False)
    given = {"actions_BAD": ACTIONS, "sigma_B": SIGMA, "noise": NOISE, "action_noise": ACTION_NOISE}

    def gradient(loss: Tensor) -> Tensor:
        policy.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        found: Tensor = policy.head.out.weight.grad.clone()
        return found

    theirs = gradient(reference_loss(policy, LATENTS, CONDITION, **given))
    ours = gradient(action_loss(policy, LATENTS, CONDITION, **given, mask_BA=ALL_ACTIONS).mean())
    torch.testing.assert_close(theirs, ours * MICRO.horizon / (T + MICRO.horizon), rtol=1e-4, atol=1e-6)


def test_actions_may_have_a_noise_level_of_their_own(policy: VideoPolicy) -> None:
    given = {"actions_BAD": ACTIONS, "noise": NOISE, "action_noise": ACTION_NOISE, "mask_BA": ALL_ACTIONS}
    with torch.no_grad():
        shared = action_loss(policy, LATENTS, CONDITION, sigma_B=SIGMA, **given)
        said = action_loss(policy, LATENTS, CONDITION, sigma_B=SIGMA, action_sigma_B=SIGMA, **given)
        apart = action_loss(policy, LATENTS, CONDITION, sigma_B=SIGMA, action_sigma_B=SIGMA * 2, **given)
    assert torch.equal(shared, said)
    assert (shared != apart).all()


def test_noise_levels_are_log_normal() -> None:
    normal = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    drawn = draw_sigma(normal, mean=1.0, std=1.6).log()
    assert abs(drawn.mean().item() - 1.0) < 0.05
    assert abs(drawn.std().item() - 1.6) < 0.05


def test_a_window_of_one_camera_has_a_loss(policy: VideoPolicy) -> None:
    alone = replace(
        CONDITION,
        latents_BTCHW=CONDITION.latents_BTCHW[:, :4],
        text_BTE=CONDITION.text_BTE[:, :4],
        layout=("left",),
    )
    with torch.no_grad():
        loss = action_loss(
            policy,
            LATENTS[:, :4],
            alone,
            actions_BAD=ACTIONS,
            sigma_B=SIGMA,
            noise=NOISE[:, :4],
            action_noise=ACTION_NOISE,
            mask_BA=ALL_ACTIONS,
        )
    assert loss.isfinite().all()
