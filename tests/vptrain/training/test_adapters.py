"""Runs that train adapters alone, on the micro model and real windows."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learners import FOUR_STEPS, QUIET, second_half_again
from micro import MICRO, STAGE2, train_stage1, train_stage2
from safetensors import safe_open
from torch import Tensor
from typer.testing import CliRunner

from vptrain.batch import Batch
from vptrain.checkpoint import Checkpoint
from vptrain.cli.app import app
from vptrain.models.lora import is_adapter, merge_adapters
from vptrain.models.policy import VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.reference import reference_names
from vptrain.models.text import CachedText
from vptrain.training.step import StageLosses


@pytest.fixture(scope="module")
def adapted(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of stage 1 with adapters."""
    return train_stage1(small, tmp_path_factory.mktemp("lora") / "run", replace(FOUR_STEPS, lora_rank=2))


def test_adapters_leave_the_weights_beside_them_alone(adapted: Path) -> None:
    begun = initial_policy(MICRO, seed=0).state_dict()
    found = Checkpoint.open(adapted).load_training_policy().state_dict()
    base = {name.replace(".base_layer.", "."): tensor for name, tensor in found.items() if not is_adapter(name)}
    assert base.keys() == begun.keys()
    assert all(torch.equal(base[name], begun[name]) for name in begun)
    assert any(tensor.any() for name, tensor in found.items() if ".lora_B." in name)


def test_merged_adapters_compute_the_same(adapted: Path, batch: Batch, text: CachedText) -> None:
    checkpoint = Checkpoint.open(adapted)
    beside = checkpoint.load_training_policy()
    with torch.no_grad():
        for name, parameter in beside.named_parameters():  # larger than four steps make them
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) / 50)

        def losses(policy: VideoPolicy) -> Tensor:
            found = StageLosses(policy, text=text, run=QUIET)(batch)
            assert isinstance(found, Tensor)
            return found

        unmerged, plain = losses(beside), losses(initial_policy(MICRO, seed=0))
        merge_adapters(beside.unet)
        merged = losses(beside)
    torch.testing.assert_close(merged, unmerged, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(merged, plain, rtol=1e-3)
    assert beside.state_dict().keys() == initial_policy(MICRO, seed=0).state_dict().keys()


def test_a_run_of_adapters_resumes_exactly(adapted: Path, small: Path, tmp_path: Path) -> None:
    again = second_half_again(small, adapted, tmp_path / "again")
    assert again.files == Checkpoint.open(adapted).files


def test_adapters_go_into_stage_2_and_into_public_checkpoints(adapted: Path, small: Path, tmp_path: Path) -> None:
    merged = Checkpoint.open(adapted).load_policy()
    policy = train_stage2(small, tmp_path / "policy", adapted, replace(STAGE2, steps=1, batch_size=1))
    frozen = Checkpoint.open(policy).load_policy().unet.state_dict()
    assert all(torch.equal(frozen[name], tensor) for name, tensor in merged.unet.state_dict().items())
    out = tmp_path / "public.safetensors"
    converted = CliRunner().invoke(app, ["convert", str(adapted), "--out", str(out)], catch_exceptions=False)
    assert converted.exit_code == 0, converted.output
    ours = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    with safe_open(out, "pt") as file:
        theirs = file.get_tensor(reference_names(merged)[ours])
    assert torch.equal(theirs, merged.state_dict()[ours])
    assert not torch.equal(theirs, initial_policy(MICRO, seed=0).state_dict()[ours])
    begun = initial_policy(replace(MICRO, pretrained=str(out)), seed=1).state_dict()
    assert all(torch.equal(begun[f"unet.{name}"], tensor) for name, tensor in merged.unet.state_dict().items())
