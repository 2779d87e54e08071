from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from micro import MICRO
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import conv2d

from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.reference import (
    converted_policy,
    load_reference,
    read_reference,
    reference_names,
    to_reference,
    write_reference,
)
from vptrain.recipes.models import SVD


@pytest.fixture(scope="module")
def state(policy: VideoPolicy) -> dict[str, Tensor]:
    return to_reference(policy)


def equal(ours: VideoPolicy, theirs: VideoPolicy) -> bool:
    other = theirs.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize(
    "write",
    [
        lambda policy, folder: write_reference(policy, folder / "policy.safetensors") and folder / "policy.safetensors",
        lambda policy, folder: (
            torch.save({"state_dict": to_reference(policy), "epoch": 3}, folder / "policy.ckpt")
            or folder / "policy.ckpt"
        ),
    ],
    ids=["safetensors", "ckpt"],
)
def test_a_policy_comes_back_from_the_public_layout(
    policy: VideoPolicy, tmp_path: Path, write: Callable[[VideoPolicy, Path], Path]
) -> None:
    restored, conversion = converted_policy(write(policy, tmp_path), MICRO)
    assert equal(restored, policy)
    assert conversion.converted == len(policy.state_dict())
    assert (conversion.missing, conversion.unexpected) == ((), ())
    assert sum(conversion.left_out.values()) > 0


def test_every_name_is_public_and_distinct_at_full_size() -> None:
    with torch.device("meta"):
        names = reference_names(VideoPolicy(SVD))
    assert len(set(names.values())) == len(names)
    prefixes = ("model.diffusion_model.", "first_stage_model.decoder.", "conditioner.embedders.3.encoder.")
    assert all(public.startswith(prefixes) for public in names.values())


@torch.no_grad()
def test_the_second_encoder_has_the_quantisation_folded_in(policy: VideoPolicy, state: dict[str, Tensor]) -> None:
    features = torch.randn(1, 32, 8, 8, generator=torch.Generator().manual_seed(0))
    encoder = policy.autoencoder.encoder
    expected = policy.autoencoder.quant_conv(encoder.conv_out(features))
    last = "first_stage_model.encoder.conv_out."
    got = conv2d(features, state[last + "weight"], state[last + "bias"], padding=1)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_every_tensor_is_accounted_for(state: dict[str, Tensor]) -> None:
    others = {"model_ema.decay": torch.ones(1), "conditioner.embedders.0.model.x": torch.ones(1)}
    surprise = {"model.diffusion_model.surprise": torch.ones(1)}
    lost = "model.diffusion_model.pose_pred_net.final_conv.1.bias"
    given = {name: tensor for name, tensor in state.items() if name != lost} | others | surprise
    target = initial_policy(MICRO, seed=9)
    before = target.head.out.bias.clone()
    conversion = load_reference(target, given, where=Path("x"))
    assert conversion.missing == ("head.out.bias",)
    assert conversion.unexpected == tuple(surprise)
    assert conversion.converted + sum(conversion.left_out.values()) + 1 == len(given)
    assert torch.equal(target.head.out.bias, before)


@pytest.mark.parametrize("shape", [(32, 8, 3), (8, 32, 3, 3)])
def test_another_shape_is_refused_even_if_it_holds_as_many(state: dict[str, Tensor], shape: tuple[int, ...]) -> None:
    name = "model.diffusion_model.input_blocks.0.0.weight"
    with pytest.raises(VptrainError, match="has shape"):
        load_reference(initial_policy(MICRO, seed=9), state | {name: torch.zeros(shape)}, where=Path("x"))


class Evil:
    """What a checkpoint must not be able to run."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_a_file_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(VptrainError, match="not unpickled for safety"):
        read_reference(tmp_path / "evil.ckpt")
    assert not (tmp_path / "unpickled").exists()


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    for name in ("text.ckpt", "text.safetensors"):
        (tmp_path / name).write_text("no weights here, only words")
        with pytest.raises(VptrainError):
            read_reference(tmp_path / name)
    with pytest.raises(VptrainError, match="no such file"):
        read_reference(tmp_path / "nothing.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "empty.ckpt")
    with pytest.raises(VptrainError, match="no state_dict"):
        read_reference(tmp_path / "empty.ckpt")


def test_stage1_may_start_from_a_public_video_model(
    policy: VideoPolicy, state: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "svd_xt.safetensors"
    video = {
        name: tensor for name, tensor in state.items() if "vision_encoder" not in name and "pose_pred_net" not in name
    }
    save_file(video, file)
    given, got = policy.state_dict(), initial_policy(replace(MICRO, pretrained=str(file)), seed=4).state_dict()
    assert {name.split(".")[0] for name in given if not torch.equal(given[name], got[name])} == {"encoder", "head"}
    del video["model.diffusion_model.out.2.weight"]
    save_file(video, file)
    with pytest.raises(VptrainError, match=r"1 pretrained tensors are missing, such as unet.conv_out.weight"):
        initial_policy(replace(MICRO, pretrained=str(file)), seed=4)
