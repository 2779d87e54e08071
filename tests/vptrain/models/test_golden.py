"""Our networks against outputs of the method's public implementation, for the same synthetic weights."""

import importlib.util
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vptrain.config import AutoencoderConfig, EncoderConfig, HeadConfig, TextConfig, UNetConfig
from vptrain.models.encoder import VisionEncoder
from vptrain.models.head import ActionHead
from vptrain.models.reference_names import PREFIX, reference_name
from vptrain.models.unet import TAPS, VideoUNet

BOUND = 2e-5

Weights = Callable[[str, tuple[int, ...]], Tensor]


@pytest.fixture(scope="module")
def golden() -> Path:
    """The folder of golden outputs: $VPTRAIN_GOLDEN, or `../shared/golden` beside the repository."""
    default = Path(__file__).resolve().parents[4] / "shared" / "golden"
    folder = Path(os.environ.get("VPTRAIN_GOLDEN", default))
    if not (folder / "unet_tiny.json").is_file():
        lost = (
            f"NO GOLDEN OUTPUTS in {folder} (set VPTRAIN_GOLDEN): nothing here checks that UNet, encoder and head "
            "compute what the method's public implementation computes."
        )
        if os.environ.get("VPTRAIN_REQUIRE_GOLDEN") == "1":
            pytest.fail(lost)
        pytest.skip(lost)
    return folder


@pytest.fixture(scope="module")
def weights(golden: Path) -> Weights:
    """The synthetic weight of a name and shape, by the rule that lies beside the golden outputs."""
    specification = importlib.util.spec_from_file_location("synthetic_weights", golden / "synthetic_weights.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    rule: Weights = module.synthetic_tensor
    return rule


def fill(module: nn.Module, part: str, weights: Weights) -> dict[str, tuple[int, ...]]:
    """Gives every parameter its synthetic weight; returns the shapes by reference name."""
    shapes = {}
    state = module.state_dict()
    for name, tensor in state.items():
        reference = reference_name(f"{part}.{name}", layers_per_block=2)
        shapes[reference] = tuple(tensor.shape)
        state[name] = weights(reference, tuple(tensor.shape))
    module.load_state_dict(state)
    return shapes


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


@torch.no_grad()
def test_unet(golden: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    described = json.loads((golden / "unet_tiny.json").read_text())
    stored = load_file(golden / "unet_tiny.safetensors")
    unet = VideoUNet.build(
        UNetConfig(block_out_channels=(32, 64, 128, 128), num_attention_heads=(2, 4, 8, 8)),
        autoencoder=AutoencoderConfig(),
        text=TextConfig(dim=stored["in.text"].shape[-1]),
        num_ids=3,
    )
    expected = {PREFIX + name: tuple(shape) for name, shape in dict(described["names"]).items()}
    assert fill(unet, "unet", weights) == expected

    class Recorded(nn.Module):
        """The sinusoids of the added ids, as recorded."""

        def forward(self, _: Tensor) -> Tensor:
            vector: Tensor = stored["in.vector"]
            return vector[::25].reshape(-1)

    monkeypatch.setattr(unet, "add_time_proj", Recorded())
    output = unet.denoise(
        torch.cat([stored["in.latents"], stored["in.cond_latents"]], dim=1).reshape(2, 25, 8, 16, 16),
        stored["in.c_noise"],
        text_BTE=stored["in.text"].reshape(2, 25, -1),
        ids_BI=torch.zeros(2, 3),
    )
    errors = {"video": relative_error(output.video_BTCHW.flatten(0, 1), stored["out.video"])}
    errors |= {str(tap): relative_error(output.features[tap], stored[f"out.feature_{tap}"]) for tap in TAPS}
    assert set(output.features) == set(TAPS)
    assert max(errors.values()) <= BOUND, errors


@torch.no_grad()
def test_encoder_and_head(golden: Path, weights: Weights) -> None:
    described: dict[str, Any] = json.loads((golden / "action_head_full.json").read_text())
    stored = load_file(golden / "action_head_full.safetensors")
    encoder = VisionEncoder(
        EncoderConfig(),
        cameras=("wrist", "left", "right"),
        num_frames=8,
        num_taps=5,
        latent_size=32,
        tap_channels={9: 1280, 13: 1280, 16: 1280, 19: 640, 22: 320},
        emb_dim=1280,
    )
    head = ActionHead(HeadConfig(), action_dim=7, feature_dim=6720, emb_dim=1280)
    shapes = fill(encoder, "encoder", weights) | fill(head, "head", weights)
    assert shapes == {name: tuple(shape) for name, shape in dict(described["names"]).items()}
    given = {
        name: torch.randn(*shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        for name, shape in described["inputs"].items()
    }
    features = {tap: given[f"in.feature_{tap}"] for tap in TAPS}
    vision = encoder(features, given["in.time_embedding"], layout=("wrist", "left", "right"))
    actions = head(given["in.actions"], features_BE=vision.flatten(1), emb_BE=given["in.time_embedding"])
    errors = (relative_error(vision, stored["out.vision"]), relative_error(actions, stored["out.actions"]))
    assert max(errors) <= BOUND, errors
