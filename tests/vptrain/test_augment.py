import colorsys

import pytest
import torch
from micro import MICRO
from torch import Tensor

from vpdata.loader.window import Window
from vptrain import augment
from vptrain.augment import color_jitter, jitter_draws
from vptrain.batch import make_batches
from vptrain.normalize import images_to_unit

LUMA = torch.tensor([0.299, 0.587, 0.114])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def luma(frames: Tensor) -> Tensor:
    """(..., C, H, W) in [-1, 1] to (..., H, W)."""
    return torch.einsum("...chw,c->...hw", (frames + 1) / 2, LUMA)


@pytest.fixture
def frames(labelled_windows: list[Window]) -> Tensor:
    (batch,) = make_batches(labelled_windows[:2], image_size=MICRO.image_size)
    return images_to_unit(batch.frames_BVFHWC)


def only(monkeypatch: pytest.MonkeyPatch, **amounts: float) -> None:
    for name in ("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"):
        monkeypatch.setattr(augment, name, amounts.get(name.lower(), 0.0))


def jittered_at(frames: Tensor, *, seed: int = 0, first: int = 0) -> Tensor:
    """The frames as windows at positions `first`, `first + 1`, ... of a stream."""
    positions = range(first, first + len(frames))
    return color_jitter(frames, jitter_draws(seed, positions, num_cameras=frames.shape[1]))


def test_it_follows_from_seed_and_position_alone(frames: Tensor) -> None:
    both = jittered_at(frames, first=7)
    assert torch.equal(jittered_at(frames[:1], first=7), both[:1])
    assert torch.equal(jittered_at(frames[1:], first=8), both[1:])
    assert not torch.equal(jittered_at(frames, first=8), both)
    assert not torch.equal(jittered_at(frames, first=7, seed=1), both)


def test_it_changes_real_frames_and_stays_in_range(frames: Tensor) -> None:
    jittered = jittered_at(frames)
    assert jittered.shape == frames.shape
    assert jittered.min() >= -1
    assert jittered.max() <= 1
    assert (jittered - frames).abs().mean() > 0.01


def test_all_frames_of_a_camera_share_a_draw_and_no_two_cameras_do() -> None:
    grey = torch.linspace(-0.5, 0.5, 64).reshape(1, 1, 1, 1, 8, 8).expand(2, 3, 4, 3, 8, 8)
    jittered = jittered_at(grey)
    assert torch.equal(jittered, jittered[:, :, :1].expand_as(jittered))
    cameras = jittered[:, :, 0].flatten(0, 1)
    assert len({tuple(camera.flatten().tolist()) for camera in cameras}) == 6


def test_without_amounts_it_does_nothing(frames: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    torch.testing.assert_close(jittered_at(frames), frames, atol=1e-5, rtol=0)


def test_brightness_is_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, brightness=0.2)
    frames = torch.rand(4, 3, 2, 3, 8, 8, generator=seeded(1)) * 0.6 - 0.8  # dark, so that nothing is clipped
    factors = (jittered_at(frames) + 1) / (frames + 1)
    per_camera = factors.flatten(2)
    torch.testing.assert_close(per_camera.amin(2), per_camera.amax(2), atol=1e-3, rtol=0)
    assert per_camera.min() >= 0.8 - 1e-3
    assert per_camera.max() <= 1.2 + 1e-3
    assert per_camera.max() - per_camera.min() > 0.2


def test_contrast_keeps_the_mean_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, contrast=0.2)
    frames = torch.rand(2, 3, 2, 3, 8, 8, generator=seeded(1)) - 0.5
    jittered = jittered_at(frames)
    torch.testing.assert_close(luma(jittered).mean((2, 3, 4)), luma(frames).mean((2, 3, 4)), atol=1e-4, rtol=0)
    spread = luma(jittered).std((2, 3, 4)) / luma(frames).std((2, 3, 4))
    assert (spread - 1).abs().max() > 0.05
    assert (spread - 1).abs().max() <= 0.2 + 1e-3


@pytest.mark.parametrize("amount", ["saturation", "hue"])
def test_saturation_and_hue_keep_luma(monkeypatch: pytest.MonkeyPatch, amount: str) -> None:
    only(monkeypatch, **{amount: 0.05})
    frames = torch.rand(2, 3, 2, 3, 8, 8, generator=seeded(1)) * 0.6 - 0.3
    jittered = jittered_at(frames)
    torch.testing.assert_close(luma(jittered), luma(frames), atol=1e-4, rtol=0)
    assert (jittered - frames).abs().max() > 0.005
    grey = torch.full((1, 1, 1, 3, 4, 4), 0.2)
    torch.testing.assert_close(jittered_at(grey), grey, atol=1e-4, rtol=0)


def test_the_hue_turns_by_a_twentieth_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, hue=0.05)
    frames = torch.tensor([0.3, -0.2, -0.3]).reshape(1, 1, 1, 3, 1, 1).expand(64, 1, 1, 3, 1, 1)
    jittered = (jittered_at(frames) + 1) / 2
    before = colorsys.rgb_to_yiq(*((frames[0, 0, 0, :, 0, 0] + 1) / 2).tolist())
    turns = []
    for pixel in jittered[:, 0, 0, :, 0, 0]:
        after = colorsys.rgb_to_yiq(*pixel.tolist())
        angle = torch.atan2(torch.tensor(after[2]), torch.tensor(after[1])) - torch.atan2(
            torch.tensor(before[2]), torch.tensor(before[1])
        )
        turns.append(angle.item() / (2 * torch.pi))
    assert max(map(abs, turns)) <= 0.052
    assert min(turns) < -0.03
    assert max(turns) > 0.03
