"""Predicted against recorded videos in; how alike they are out.

PSNR and SSIM need nothing. LPIPS and the Fréchet video distance look through pretrained networks, whose files are
taken from where they are named, or from torch's hub cache; nothing is downloaded, and a score whose file is missing is
left out, which `missing` says.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torchmetrics
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance

from vptrain.errors import VptrainError
from vptrain.rollout.evaluate import WindowPrediction

ALEXNET_FILE, VIDEO_NETWORK_FILE = "alexnet-owt-7be5be79.pth", "i3d_torchscript.pt"
VIDEO_FRAMES = 16
MAX_PSNR = 99.0
_CHANNELS = (64, 192, 384, 256, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Means over videos, frames after the first; the Fréchet distance is one between both sets of whole videos.

    Attributes:
        psnr: in dB, of all pixels together, at most 99.
        ssim: in [-1, 1].
        lpips: 0 for equal pictures; None without weights.
        fvd: None without weights, or with fewer than two videos.
    """

    psnr: float
    ssim: float
    lpips: float | None
    fvd: float | None


class Lpips(nn.Module):
    """Learned perceptual distance (Zhang et al. 2018, version 0.1) over AlexNet, with torchmetrics' linear weights."""

    shift: Tensor
    scale: Tensor

    def __init__(self, alexnet: dict[str, Tensor]) -> None:
        """Takes AlexNet's weights by torchvision's names."""
        super().__init__()
        self.features = alexnet_features()
        self.features.load_state_dict({name[9:]: t for name, t in alexnet.items() if name.startswith("features.")})
        file = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"
        linear: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        self.weights = [linear[f"lin{i}.model.1.weight"] for i in range(len(_CHANNELS))]
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])

    def forward(self, predicted_NCHW: Tensor, recorded_NCHW: Tensor) -> Tensor:
        """(N,) for pictures in [0, 1]."""
        x = torch.cat([predicted_NCHW, recorded_NCHW])
        x = (2 * x - 1 - self.shift) / self.scale
        total = torch.zeros(len(predicted_NCHW))
        layer = 0
        for module in self.features:
            x = module(x)
            if isinstance(module, nn.ReLU):
                unit = x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()
                a, b = unit.chunk(2)
                total = total + functional.conv2d((a - b).square(), self.weights[layer]).mean(dim=(1, 2, 3))
                layer += 1
        return total


def alexnet_features() -> nn.Sequential:
    """The convolutions of AlexNet (Krizhevsky 2014), numbered as torchvision does."""
    c = _CHANNELS
    return nn.Sequential(
        *(nn.Conv2d(3, c[0], 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(c[0], c[1], 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(c[1], c[2], 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(c[2], c[3], 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(c[3], c[4], 3, padding=1), nn.ReLU()),
    )


class VideoNetwork(nn.Module):
    """A TorchScript network as public FVD code uses it: `net(video, rescale, resize, return_features)` -> (N, 400)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._net: Any = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        self.num_features = int(self(torch.zeros(1, 1, 32, 32, 3, dtype=torch.uint8)).shape[1])

    @torch.no_grad()
    def forward(self, videos_NTHWC: Tensor) -> Tensor:
        """Features of uint8 videos, whose frames are repeated evenly to 16: the network halves time three times."""
        times = torch.arange(VIDEO_FRAMES) * videos_NTHWC.shape[1] // VIDEO_FRAMES
        x = videos_NTHWC[:, times].permute(0, 4, 1, 2, 3).float()
        return cast(Tensor, self._net(x, rescale=True, resize=True, return_features=True))


@dataclass(slots=True, kw_only=True)
class Quality:
    """What measures; `missing` says which scores it cannot give, and why."""

    lpips: Lpips | None
    video_network: VideoNetwork | None
    missing: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, *, lpips_weights: Path | None = None, fvd_weights: Path | None = None) -> "Quality":
        """Reads the networks' weights.

        Args:
            lpips_weights: AlexNet's, as torchvision publishes them.
            fvd_weights: a TorchScript file, see `VideoNetwork`.

        Raises:
            VptrainError: a file that was named is missing, or is no such network.
        """
        missing: list[str] = []
        alexnet = _find("LPIPS", lpips_weights, ALEXNET_FILE, missing)
        network = _find("the Fréchet video distance", fvd_weights, VIDEO_NETWORK_FILE, missing)
        try:
            lpips = None
            if alexnet is not None:
                lpips = Lpips(torch.load(alexnet, map_location="cpu", weights_only=True))
        except (RuntimeError, AttributeError, TypeError, pickle.UnpicklingError) as error:
            raise VptrainError(f"this is no AlexNet ({_first_line(error)}).", path=alexnet) from error
        try:
            video_network = None if network is None else VideoNetwork(network)
        except (RuntimeError, AttributeError, IndexError) as error:
            raise VptrainError(f"this is no video network ({_first_line(error)}).", path=network) from error
        return cls(lpips=lpips, video_network=video_network, missing=missing)

    @torch.no_grad()
    def score(self, pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Scores:
        """The scores of (predicted, recorded) videos, uint8 (F, H, W, 3) each, of at least two frames; see `videos`."""
        frames = [(_frames(made[1:]), _frames(true[1:])) for made, true in pairs]
        predicted, recorded = (torch.cat([part.flatten() for part in side]) for side in zip(*frames, strict=True))
        similar = [structural_similarity_index_measure(p, r, data_range=1.0, reduction="none") for p, r in frames]
        return Scores(
            psnr=min(MAX_PSNR, float(peak_signal_noise_ratio(predicted, recorded, data_range=1.0))),
            ssim=float(torch.cat([cast(Tensor, s).reshape(-1) for s in similar]).mean()),
            lpips=None if self.lpips is None else float(torch.cat([self.lpips(p, r) for p, r in frames]).mean()),
            fvd=self._distance(pairs),
        )

    def _distance(self, pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> float | None:
        if self.video_network is None or len(pairs) < 2:
            return None
        distance = FrechetInceptionDistance(feature=self.video_network)
        for predicted, recorded in pairs:
            distance.update(torch.from_numpy(predicted)[None], real=False)
            distance.update(torch.from_numpy(recorded)[None], real=True)
        return float(distance.compute())


def videos(predictions: Sequence[WindowPrediction]) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """(predicted, recorded) of every camera of the windows that have a frame after the first; no repeated frames."""
    pairs = []
    for prediction in predictions:
        seen = prediction.window.frame_mask
        if prediction.frames is not None and seen[1:].any():
            for camera, recorded in prediction.window.frames.items():
                pairs.append((prediction.frames[camera][seen], recorded[seen]))
    return pairs


def _frames(frames_FHWC: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames_FHWC)).permute(0, 3, 1, 2).float() / 255


def _find(score: str, named: Path | None, usual: str, missing: list[str]) -> Path | None:
    if named is not None:
        if not named.is_file():
            raise VptrainError(f"the weights for {score} are not there.", path=named)
        return named
    cached = Path(torch.hub.get_dir()) / "checkpoints" / usual
    if cached.is_file():
        return cached
    missing.append(f"{score} is not computed: {cached} is not there (TORCH_HOME says where else it may be).")
    return None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
