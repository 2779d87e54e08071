"""Scores of videos, against their formulas and the libraries that they are taken from."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.functional.image import lpips as reference

from vpdata.loader.window import Window
from vptrain.errors import VptrainError
from vptrain.training.quality import Lpips, Quality, VideoNetwork, alexnet_features

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Network(nn.Module):
    """A small network with the inputs of the one that is used for FVD."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(3, 5, 3, stride=2)

    def forward(self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True) -> Tensor:
        """(N, 3, 16, H, W) in [0, 255] to (N, 5)."""
        if rescale:
            x = x / 127.5 - 1
        assert resize
        assert return_features
        return self.convolution(x).mean(dim=(2, 3, 4))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the right shapes, in files as they would be downloaded."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save({f"features.{name}": t for name, t in alexnet_features().state_dict().items()}, folder / "alexnet.pth")
    torch.jit.script(Network()).save(str(folder / "network.pt"))
    return folder


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))


@pytest.fixture
def pairs(labelled_windows: list[Window]) -> list[Pair]:
    """Recorded frames, and the same with noise."""
    rng = np.random.default_rng(0)
    recorded = [frames for window in labelled_windows[:3] for frames in window.frames.values()]
    return [(np.clip(r + rng.normal(0, 12, r.shape), 0, 255).astype(np.uint8), r) for r in recorded]


def test_psnr_and_ssim(pairs: list[Pair]) -> None:
    scores = Quality.load().score(pairs)
    error = np.mean([np.square(p[1:].astype(float) - r[1:]) for p, r in pairs])
    assert scores.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
    assert 0.2 < scores.ssim < 0.95
    same = Quality.load().score([(r, r) for _, r in pairs])
    assert same.psnr == 99
    assert same.ssim == pytest.approx(1, abs=1e-3)
    assert (scores.lpips, scores.fvd) == (None, None)


def test_the_first_frame_does_not_count(pairs: list[Pair]) -> None:
    for predicted, _ in pairs:
        predicted[0] = 0
    assert Quality.load().score(pairs).psnr > 20


def test_lpips_is_that_of_the_library(weights: Path, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.load(weights / "alexnet.pth", weights_only=True)
    ours = Quality.load(lpips_weights=weights / "alexnet.pth").score(pairs).lpips
    features = Lpips(state).features
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_: features)
    theirs = reference._LPIPS(net="alex")
    values = [
        theirs(*(torch.from_numpy(v[1:]).permute(0, 3, 1, 2).float() / 127.5 - 1 for v in pair)).flatten()
        for pair in pairs
    ]
    assert ours == pytest.approx(torch.cat(values).mean().item(), rel=1e-4)
    assert Quality.load(lpips_weights=weights / "alexnet.pth").score([(r, r) for _, r in pairs]).lpips == 0


def test_the_frechet_distance_is_that_of_its_formula(weights: Path, pairs: list[Pair]) -> None:
    network = VideoNetwork(weights / "network.pt")
    sides = [torch.cat([network(torch.from_numpy(pair[side])[None]) for pair in pairs]).double() for side in (0, 1)]
    assert network.num_features == 5
    (mean_a, mean_b), (a, b) = [side.mean(0) for side in sides], [torch.cov(side.T) for side in sides]
    root = torch.linalg.eigvals(a @ b).sqrt().real.sum()
    expected = (mean_a - mean_b).square().sum() + a.trace() + b.trace() - 2 * root
    scores = Quality.load(fvd_weights=weights / "network.pt").score(pairs)
    assert scores.fvd == pytest.approx(expected.item(), rel=1e-3)
    assert scores.fvd > 0
    assert Quality.load(fvd_weights=weights / "network.pt").score(pairs[:1]).fvd is None


def test_weights_are_found_in_the_hub_cache(weights: Path, tmp_path: Path) -> None:
    missing = Quality.load().missing
    assert [reason.split(" is not computed")[0] for reason in missing] == ["LPIPS", "the Fréchet video distance"]
    assert str(tmp_path / "hub" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth") in missing[0]
    cache = tmp_path / "hub" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    shutil.copy(weights / "alexnet.pth", cache / "alexnet-owt-7be5be79.pth")
    found = Quality.load()
    assert found.lpips is not None
    assert len(found.missing) == 1


def test_wrong_files_are_refused(weights: Path, tmp_path: Path) -> None:
    text = tmp_path / "weights.pth"
    text.write_text("no weights")
    for named, problem in (
        ({"lpips_weights": tmp_path / "nothing"}, "the weights for LPIPS are not there"),
        ({"lpips_weights": text}, "this is no AlexNet"),
        ({"fvd_weights": text}, "this is no video network"),
        ({"fvd_weights": weights / "alexnet.pth"}, "this is no video network"),
    ):
        with pytest.raises(VptrainError, match=problem):
            Quality.load(**named)
