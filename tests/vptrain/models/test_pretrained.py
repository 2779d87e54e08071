from dataclasses import replace
from pathlib import Path

import pytest
import torch
from micro import MICRO, STAGE1

from vptrain.config import UNetConfig
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.training.start import start_stage1


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoPolicy, Path]:
    """A policy whose UNet and autoencoder are stored in diffusers' layout, and the folder."""
    folder = tmp_path_factory.mktemp("svd")
    policy = initial_policy(MICRO, seed=5)
    policy.unet.save_pretrained(folder / "unet")
    policy.autoencoder.save_pretrained(folder / "vae")
    return policy, folder


def equal(ours: torch.nn.Module, theirs: torch.nn.Module) -> bool:
    mine, other = ours.state_dict(), theirs.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


def test_stage1_starts_from_the_stored_weights(
    pretrained: tuple[VideoPolicy, Path], mixture_file: Path, tmp_path: Path
) -> None:
    stored, folder = pretrained
    model = replace(MICRO, pretrained=str(folder))
    policy = start_stage1(mixture_file, tmp_path / "run", model=model, run=STAGE1, device="cpu").policy
    assert equal(policy.unet, stored.unet)
    assert equal(policy.autoencoder, stored.autoencoder)
    fresh = initial_policy(MICRO, seed=STAGE1.seed)
    assert equal(policy.encoder, fresh.encoder)
    assert not equal(fresh.unet, stored.unet)


def test_norms_have_the_epsilon_of_the_methods_training(pretrained: tuple[VideoPolicy, Path]) -> None:
    _, folder = pretrained
    unet = initial_policy(replace(MICRO, pretrained=str(folder)), seed=0).unet
    norms = {name: module.eps for name, module in unet.named_modules() if isinstance(module, torch.nn.GroupNorm)}
    of_attention = {name for name in norms if "attentions" in name}
    assert of_attention
    assert {norms[name] for name in of_attention} == {1e-6}
    assert {eps for name, eps in norms.items() if name not in of_attention} == {1e-5}


def test_weights_of_another_size_are_refused_in_one_paragraph(pretrained: tuple[VideoPolicy, Path]) -> None:
    _, folder = pretrained
    wider = UNetConfig(
        block_out_channels=(64, 32, 32, 32), layers_per_block=1, num_attention_heads=(1, 1, 1, 1), addition_embed_dim=8
    )
    with pytest.raises(VptrainError, match="do not fit the model's configuration") as caught:
        initial_policy(replace(MICRO, pretrained=str(folder), unet=wider), seed=0)
    assert caught.value.path == f"{folder}/unet"
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


def test_missing_weights_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(VptrainError, match="--pretrained") as caught:
        initial_policy(replace(MICRO, pretrained=str(tmp_path / "nothing")), seed=0)
    assert caught.value.path == str(tmp_path / "nothing")


def test_random_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = initial_policy(MICRO, seed=3)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = initial_policy(MICRO, seed=3)
    assert equal(first, again)
    assert not equal(first, initial_policy(MICRO, seed=4))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
