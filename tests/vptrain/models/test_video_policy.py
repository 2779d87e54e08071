import pytest
import torch
from micro import MICRO
from torch import Tensor

from vpdata.loader.window import Window
from vptrain.batch import Batch, make_batches
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.normalize import images_to_unit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_for(frames: Tensor) -> Tensor:
    B, V, F = frames.shape[:3]
    return torch.randn(B, *MICRO.latent_shape(V * F), generator=seeded())


def condition_of(policy: VideoPolicy, batch: Batch, text: CachedText) -> Condition:
    first = images_to_unit(batch.frames_BVFHWC[:, :, 0])
    noise = torch.randn(first.shape, generator=seeded())
    return policy.encode_condition(first, text.encode(batch.instructions), layout=batch.layout, noise_BVCHW=noise)


@pytest.fixture
def batches(any_windows: list[Window]) -> list[Batch]:
    return make_batches(any_windows, image_size=MICRO.image_size)


def test_time_is_one_frame_and_then_every_camera(policy: VideoPolicy, batches: list[Batch], text: CachedText) -> None:
    assert {len(batch.layout) for batch in batches} == {1, 3}
    for batch in batches:
        num_times = 1 + len(batch.layout) * MICRO.num_frames
        frames = images_to_unit(batch.frames_BVFHWC)
        latents = policy.encode_video(frames, noise=noise_for(frames))
        condition = condition_of(policy, batch, text)
        assert latents.shape == condition.latents_BTCHW.shape == (len(batch), num_times, 4, 8, 8)
        assert condition.text_BTE.shape == (len(batch), num_times, 16)
        assert batch.mask_BT.shape == (len(batch), num_times)
        with torch.no_grad():
            output, actions = policy(latents, torch.zeros(len(batch)), condition)
        assert output.shape == latents.shape
        assert actions is None


def test_targets_are_scaled_samples_with_the_first_frame_repeated(policy: VideoPolicy, batches: list[Batch]) -> None:
    batch = max(batches, key=lambda batch: len(batch.layout))
    frames = images_to_unit(batch.frames_BVFHWC)
    latents = policy.encode_video(frames, noise=noise_for(frames))
    assert torch.equal(latents[:, 0], latents[:, 1])
    with torch.no_grad():
        posterior = policy.autoencoder.encode(frames.flatten(0, 2)).latent_dist
    noise = (latents[:, 1:].flatten(0, 1) / MICRO.autoencoder.scaling_factor - posterior.mean) / posterior.std
    assert abs(noise.mean().item()) < 0.05
    assert abs(noise.std().item() - 1) < 0.05


def test_the_condition_is_each_cameras_first_frame_unscaled(
    policy: VideoPolicy, batches: list[Batch], text: CachedText
) -> None:
    batch = max(batches, key=lambda batch: len(batch.layout))
    latents = condition_of(policy, batch, text).latents_BTCHW
    first = images_to_unit(batch.frames_BVFHWC[:, :, 0])
    noisy = first + MICRO.condition_noise * torch.randn(first.shape, generator=seeded())
    with torch.no_grad():
        modes = policy.autoencoder.encode(noisy.flatten(0, 1)).latent_dist.mode().unflatten(0, first.shape[:2])
    torch.testing.assert_close(latents[:, 0], modes[:, 0])
    for camera in range(3):
        for frame in range(MICRO.num_frames):
            torch.testing.assert_close(latents[:, 1 + camera * MICRO.num_frames + frame], modes[:, camera])


def test_the_chunk_bounds_the_memory_and_changes_nothing(policy: VideoPolicy, batches: list[Batch]) -> None:
    frames = images_to_unit(max(batches, key=lambda batch: len(batch.layout)).frames_BVFHWC)
    assert frames.shape[:3].numel() > 2 * 7
    sizes: list[int] = []
    hook = policy.autoencoder.encoder.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    noise = noise_for(frames)
    few = policy.encode_video(frames, noise=noise, chunk=7)
    hook.remove()
    assert max(sizes) == 7
    assert sum(sizes) == frames.shape[:3].numel()
    torch.testing.assert_close(few, policy.encode_video(frames, noise=noise, chunk=1000), atol=1e-5, rtol=1e-5)


def test_dropping_parts_of_a_condition() -> None:
    condition = Condition(latents_BTCHW=torch.ones(3, 4, 1, 1, 1), text_BTE=torch.ones(3, 4, 2), layout=("wrist",))
    whole = condition.without()
    assert not whole.latents_BTCHW.any()
    assert not whole.text_BTE.any()
    part = condition.without(
        latents_BT=torch.tensor([[True], [False], [False]]), text_BT=torch.tensor([[False], [False], [True]])
    )
    assert part.latents_BTCHW.mean(dim=(1, 2, 3, 4)).tolist() == [0, 1, 1]
    assert part.text_BTE.mean(dim=(1, 2)).tolist() == [1, 1, 0]
    frames = condition.without(latents_BT=torch.eye(3, 4) > 0, text_BT=torch.zeros(3, 4) > 0)
    assert torch.equal(frames.latents_BTCHW[..., 0, 0, 0], 1 - torch.eye(3, 4))


def test_decoding_drops_the_repeated_frame_and_undoes_the_scale(policy: VideoPolicy) -> None:
    latents = torch.randn(2, 1 + 2 * MICRO.num_frames, 4, 8, 8, generator=seeded())
    frames = policy.decode_video(latents, chunk=5)
    assert frames.shape == (2, 2, MICRO.num_frames, 3, 64, 64)
    with torch.no_grad():
        alone = policy.autoencoder.decode(latents[1, 2:3] / MICRO.autoencoder.scaling_factor, num_frames=1).sample
    torch.testing.assert_close(frames[1, 0, 1], alone[0].clamp(-1, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stop", [True, False])
def test_action_gradients_reach_the_unet_only_if_asked(stop: bool) -> None:
    policy = initial_policy(MICRO, seed=0)
    generator = seeded()
    condition = Condition(
        latents_BTCHW=torch.randn(1, 10, 4, 8, 8, generator=generator),
        text_BTE=torch.randn(1, 10, 16, generator=generator),
        layout=MICRO.cameras,
    )
    video: Tensor = torch.randn(1, 10, 4, 8, 8, generator=generator)
    noisy = torch.randn(1, MICRO.horizon, 7, generator=generator)
    _, actions = policy(video, torch.zeros(1), condition, actions_BAD=noisy, stop_gradient=stop)
    assert actions.shape == (1, MICRO.horizon, 7)
    actions.square().sum().backward()
    reached = {name for name, parameter in policy.named_parameters() if parameter.grad is not None}
    assert any(name.startswith("head.") for name in reached)
    assert any(name.startswith("encoder.") for name in reached)
    in_unet = {name for name in reached if name.startswith("unet.")}
    assert bool(in_unet) is not stop
    if not stop:
        assert {"unet.conv_in.weight", "unet.time_embedding.linear_1.weight"} <= in_unet
