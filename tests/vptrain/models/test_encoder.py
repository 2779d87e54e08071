from itertools import combinations

import pytest
import torch
from micro import MICRO
from torch import Tensor

from vptrain.models.encoder import VisionEncoder
from vptrain.models.policy import VideoPolicy

CHANNELS = {9: 32, 13: 32, 16: 32, 19: 32, 22: 32}
SIZES = {9: 1, 13: 1, 16: 2, 19: 4, 22: 8}
LAYOUTS = [layout for count in (1, 2, 3) for layout in combinations(MICRO.cameras, count)]


def views(seed: int) -> dict[str, dict[int, Tensor]]:
    """Features of every camera, (1, F, C, H, W) a tap."""
    generator = torch.Generator().manual_seed(seed)
    return {
        camera: {tap: torch.randn(1, 3, 32, size, size, generator=generator) for tap, size in SIZES.items()}
        for camera in MICRO.cameras
    }


def features(layout: tuple[str, ...], seen: dict[str, dict[int, Tensor]]) -> dict[int, Tensor]:
    """As the UNet gives them: a first frame that nobody needs, then the cameras of the layout."""
    return {
        tap: torch.cat([torch.full((1, 1, 32, size, size), 7.0), *(seen[camera][tap] for camera in layout)], dim=1)[0]
        for tap, size in SIZES.items()
    }


@pytest.fixture(scope="module")
def encoder(policy: VideoPolicy) -> VisionEncoder:
    return policy.encoder


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS, ids="+".join)
def test_an_absent_camera_contributes_exactly_zero(encoder: VisionEncoder, layout: tuple[str, ...]) -> None:
    seen, emb = views(0), torch.randn(1, 128, generator=torch.Generator().manual_seed(1))
    got = encoder(features(layout, seen), emb, layout=layout)
    towers = []
    for camera, tower in zip(MICRO.cameras, encoder.towers, strict=True):
        whole = tower({tap: view.transpose(1, 2) for tap, view in seen[camera].items()}, emb)
        towers.append(whole if camera in layout else torch.zeros_like(whole))
    expected = torch.cat(towers, dim=1)
    for stage in (*encoder.fusion, *encoder.body):
        expected = stage(expected, emb)
    assert torch.equal(got, encoder.norm(expected))
    assert got.shape == (1, *encoder.output_shape)


@torch.no_grad()
def test_every_camera_has_its_own_tower(encoder: VisionEncoder) -> None:
    seen, emb = views(0), torch.zeros(1, 128)
    whole = encoder(features(MICRO.cameras, seen), emb, layout=MICRO.cameras)
    for camera in MICRO.cameras:
        changed = seen | {camera: views(1)[camera]}
        assert not torch.equal(encoder(features(MICRO.cameras, changed), emb, layout=MICRO.cameras), whole)
    swapped = seen | {"left": seen["right"], "right": seen["left"]}
    assert not torch.equal(encoder(features(MICRO.cameras, swapped), emb, layout=MICRO.cameras), whole)


@torch.no_grad()
def test_the_layout_says_which_frames_are_whose(encoder: VisionEncoder) -> None:
    seen, emb, turned = views(0), torch.zeros(1, 128), ("right", "wrist", "left")
    torch.testing.assert_close(
        encoder(features(turned, seen), emb, layout=turned),
        encoder(features(MICRO.cameras, seen), emb, layout=MICRO.cameras),
    )


@torch.no_grad()
def test_the_repeated_first_frame_is_dropped(encoder: VisionEncoder) -> None:
    given, emb = features(MICRO.cameras, views(0)), torch.zeros(1, 128)
    before = encoder(given, emb, layout=MICRO.cameras)
    for feature in given.values():
        feature[0] = 100.0
    assert torch.equal(encoder(given, emb, layout=MICRO.cameras), before)


@torch.no_grad()
@pytest.mark.parametrize(("num_taps", "size"), [(1, 4), (2, 2), (3, 1), (4, 1), (5, 1)])
def test_fewer_features_leave_the_coarse_ones_out(num_taps: int, size: int) -> None:
    encoder = VisionEncoder(
        MICRO.encoder,
        cameras=MICRO.cameras,
        num_frames=MICRO.num_frames,
        num_taps=num_taps,
        latent_size=8,
        tap_channels=CHANNELS,
        emb_dim=128,
    )
    given, emb = features(MICRO.cameras, views(0)), torch.zeros(1, 128)
    got = encoder(given, emb, layout=MICRO.cameras)
    assert got.shape == (1, *encoder.output_shape)
    assert encoder.output_shape[2:] == (size, size)
    for i, tap in enumerate(sorted(given, reverse=True)):
        changed = given | {tap: given[tap] + torch.randn(given[tap].shape, generator=torch.Generator().manual_seed(2))}
        assert torch.equal(encoder(changed, emb, layout=MICRO.cameras), got) is (i >= num_taps)
