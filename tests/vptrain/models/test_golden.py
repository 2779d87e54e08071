"""Our networks, with weights converted from a public state dict, against the public implementation's outputs."""

import importlib.util
import json
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import MICRO
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vptrain.config import TextConfig, UNetConfig
from vptrain.models.policy import VideoPolicy
from vptrain.models.reference import converted_policy, load_reference
from vptrain.models.reference_names import PREFIX
from vptrain.models.unet import TAPS, UNetOutput
from vptrain.recipes.models import SVD

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


def public_state(names: Any, weights: Weights, *, prefix: str = "") -> dict[str, Tensor]:
    """The public state dict of the names and shapes that lie beside the golden outputs."""
    return {prefix + name: weights(prefix + name, tuple(shape)) for name, shape in dict(names).items()}


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def as_ckpt(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"state_dict": state}, folder / "public.ckpt")
    return folder / "public.ckpt"


def as_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "public.safetensors")
    return folder / "public.safetensors"


@torch.no_grad()
@pytest.mark.parametrize("write", [as_ckpt, as_safetensors])
def test_unet_of_a_converted_checkpoint(
    golden: Path,
    weights: Weights,
    write: Callable[[dict[str, Tensor], Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described = json.loads((golden / "unet_tiny.json").read_text())
    stored = load_file(golden / "unet_tiny.safetensors")
    config = replace(
        MICRO,
        unet=UNetConfig(block_out_channels=(32, 64, 128, 128), num_attention_heads=(2, 4, 8, 8)),
        text=TextConfig(dim=stored["in.text"].shape[-1]),
    )
    state = public_state(described["names"], weights, prefix=PREFIX)
    file = write(state, tmp_path)
    policy, conversion = converted_policy(file, config)
    assert conversion.converted == len(state) == 1428
    assert conversion.unexpected == ()
    assert {name.split(".")[0] for name in conversion.missing} == {"autoencoder", "encoder", "head"}
    unet = policy.unet

    fps, bucket, noise = (torch.tensor([value]) for value in SVD.time_ids)
    rates = torch.exp(-math.log(10_000) * torch.arange(128) / 128)
    sinusoids = [torch.cat([(value * rates).cos(), (value * rates).sin()]) for value in (fps, bucket, noise)]
    ids = torch.tensor([SVD.time_ids])
    torch.testing.assert_close(unet.add_time_proj(ids.flatten()).reshape(-1), torch.cat(sinusoids))

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


@pytest.fixture(scope="module")
def full_size(golden: Path, weights: Weights) -> VideoPolicy:
    """The full-size policy with a converted encoder and head; nothing else of it takes memory."""
    with torch.device("meta"):
        policy = VideoPolicy(SVD)
    policy.encoder.to_empty(device="cpu")
    policy.head.to_empty(device="cpu")
    state = public_state(json.loads((golden / "action_head_full.json").read_text())["names"], weights)
    conversion = load_reference(policy, state, where=golden)
    assert conversion.converted == len(state) == 1283
    assert conversion.unexpected == ()
    assert {name.split(".")[0] for name in conversion.missing} == {"autoencoder", "unet"}
    return policy


@torch.no_grad()
def test_encoder_and_head_of_a_converted_checkpoint(golden: Path, full_size: VideoPolicy) -> None:
    described: dict[str, Any] = json.loads((golden / "action_head_full.json").read_text())
    stored = load_file(golden / "action_head_full.safetensors")
    given = {
        name: torch.randn(*shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        for name, shape in described["inputs"].items()
    }
    output = UNetOutput(
        video_BTCHW=torch.zeros(1, 25, 4, 32, 32),
        features={tap: given[f"in.feature_{tap}"] for tap in TAPS},
        time_embedding_BE=given["in.time_embedding"],
    )
    vision = full_size.vision(output, layout=SVD.cameras)
    actions = full_size.head(given["in.actions"], features_BE=vision, emb_BE=given["in.time_embedding"])
    errors = (relative_error(vision, stored["out.vision"].flatten(1)), relative_error(actions, stored["out.actions"]))
    assert max(errors) <= BOUND, errors
