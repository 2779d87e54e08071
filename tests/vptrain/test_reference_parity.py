"""The script that compares a whole policy with recorded outputs: what it computes, and that it notices a difference."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.reference import write_reference
from vptrain.objectives.edm import denoise, joint_loss
from vptrain.recipes.models import TINY

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "model" / "reference_parity.py"
B, T = 2, 1 + len(TINY.cameras) * TINY.num_frames


@pytest.fixture(scope="module")
def policy() -> VideoPolicy:
    return initial_policy(TINY, seed=3)


@pytest.fixture(scope="module")
def recorded(policy: VideoPolicy) -> dict[str, Tensor]:
    """Inputs, and outputs that the sampler's and the trainer's own functions give for them."""
    generator = torch.Generator().manual_seed(0)
    latents = (B, T, TINY.autoencoder.latent_channels, TINY.latent_size, TINY.latent_size)
    shapes = {
        "latents": latents,
        "noise": latents,
        "cond_latents": latents,
        "text": (B, T, TINY.text.dim),
        "actions": (B, TINY.horizon, 7),
        "action_noise": (B, TINY.horizon, 7),
    }
    given = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    sigma = torch.tensor([0.5, 9.0])
    condition = Condition(latents_BTCHW=given["cond_latents"], text_BTE=given["text"], layout=TINY.cameras)
    with torch.no_grad():
        video, actions = denoise(
            policy,
            given["latents"] + given["noise"] * sigma[:, None, None, None, None],
            sigma,
            condition,
            actions_BAD=given["actions"] + given["action_noise"] * sigma[:, None, None],
        )
        loss = joint_loss(
            policy,
            given["latents"],
            condition,
            actions_BAD=given["actions"],
            sigma_B=sigma,
            noise=given["noise"],
            action_noise=given["action_noise"],
            mask_BT=torch.ones(B, T),
            mask_BA=torch.ones(B, TINY.horizon),
        ).mean()
    assert actions is not None
    out = {"out.denoised_video": video, "out.denoised_actions": actions, "out.loss": loss}
    return {f"in.{name}": tensor for name, tensor in given.items()} | {"in.sigma": sigma} | out


@pytest.mark.parametrize("change", [0.0, 1e-3])
def test_a_difference_is_noticed(
    policy: VideoPolicy,
    recorded: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: float,
) -> None:
    files = [str(tmp_path / "public.safetensors"), str(tmp_path / "recorded.safetensors")]
    write_reference(policy, Path(files[0]))
    save_file(recorded | {"out.loss": recorded["out.loss"] + change}, files[1])
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *files, "--model", "tiny"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = json.loads(capsys.readouterr().out)
    different = {name for name, error in printed["errors"].items() if error > printed["bound"]}
    assert set(printed["errors"]) == {"out.denoised_video", "out.denoised_actions", "out.loss"}
    assert different == ({"out.loss"} if change else set())
    assert ended.value.code == int(bool(change))
    assert printed["missing"] == printed["unexpected"] == []
