"""Runs in low precision, on the micro model and real windows."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learners import QUIET, losses_and_gradients
from micro import MICRO
from torch import Tensor

from vptrain.batch import Batch
from vptrain.checkpoint import Checkpoint
from vptrain.config import RunConfig
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.training.start import start_stage1
from vptrain.training.step import StageLosses
from vptrain.training.trainer import Progress

STAGES = [QUIET, replace(QUIET, stage="stage2"), replace(QUIET, stage="joint")]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("run", STAGES, ids=lambda run: run.stage)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_gives_nearly_the_same_loss_and_float32_gradients(
    batch: Batch, text: CachedText, run: RunConfig, precision: str
) -> None:
    exact, _ = losses_and_gradients(run, batch, text)
    found, gradients = losses_and_gradients(replace(run, precision=precision), batch, text)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    rounding = {"bf16": 0.02, "fp16": 0.003}[precision]
    assert relative_error(found, exact) < (5 if run.stage == "stage2" else 1) * rounding
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}


def test_a_run_in_low_precision_keeps_float32_weights(small: Path, tmp_path: Path) -> None:
    losses: dict[str, list[float]] = {}
    for precision in ("fp32", "bf16", "fp16"):
        reported: list[Progress] = []
        run = replace(QUIET, steps=2, batch_size=1, precision=precision)
        start_stage1(small, tmp_path / precision, model=MICRO, run=run, device="cpu").train(reported.append)
        losses[precision] = [progress.loss for progress in reported]
        weights = Checkpoint.open(tmp_path / precision).load_policy().state_dict()
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    for precision in ("bf16", "fp16"):
        assert losses[precision] == pytest.approx(losses["fp32"], rel=0.02)
        assert losses[precision] != losses["fp32"]


@pytest.mark.parametrize(
    ("precision", "autoencoder_precision", "expected"),
    [
        ("fp32", None, torch.float32),
        ("fp16", None, torch.float32),
        ("bf16", None, torch.bfloat16),
        ("bf16", "fp32", torch.float32),
        ("fp32", "bf16", torch.bfloat16),
    ],
)
def test_the_autoencoder_has_a_precision_of_its_own(
    batch: Batch, text: CachedText, precision: str, autoencoder_precision: str | None, expected: torch.dtype
) -> None:
    run = replace(QUIET, precision=precision, autoencoder_precision=autoencoder_precision)
    policy = initial_policy(MICRO, seed=0)
    seen = dict[str, torch.dtype]()

    def note(name: str) -> object:
        return lambda _module, _inputs, output: seen.update({name: output.dtype})

    policy.autoencoder.encoder.conv_in.register_forward_hook(note("autoencoder"))
    policy.unet.conv_in.register_forward_hook(note("unet"))
    with torch.no_grad():
        StageLosses(policy, text=text, run=run)(batch)
    assert seen["autoencoder"] == expected
    assert seen["unet"] == {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
