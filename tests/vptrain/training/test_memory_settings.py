"""Settings that save memory or time give the same losses and gradients, on the micro model and real windows."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learners import QUIET, learner_of, losses_and_gradients, trained

from vptrain.batch import Batch
from vptrain.models.text import CachedText
from vptrain.training.footprint import LiveBytes
from vptrain.training.metrics import read_metrics


def test_micro_batches_have_the_same_loss_and_gradient(small: Path, tmp_path: Path) -> None:
    found: dict[int | None, tuple[float, float]] = {}
    for size in (None, 1, 2):
        run = replace(QUIET, steps=1, micro_batch_size=size)
        trained(small, tmp_path / str(size), run)
        (line,) = read_metrics(tmp_path / str(size) / "metrics.jsonl")
        found[size] = (line["loss"], line["gradient_norm"])
    assert found[1] == pytest.approx(found[None], rel=1e-3)
    assert found[2] == pytest.approx(found[None], rel=1e-3)
    assert found[1] != found[None]


@pytest.mark.parametrize("stage", ["stage1", "joint"])
def test_checkpointed_activations_give_the_very_same_gradients(batch: Batch, text: CachedText, stage: str) -> None:
    run = replace(QUIET, stage=stage, gradient_stop="reference")
    peaks = {}
    found = {}
    for checkpointed in (False, True):
        with LiveBytes() as live, live.above() as most:
            found[checkpointed] = losses_and_gradients(replace(run, activation_checkpointing=checkpointed), batch, text)
        peaks[checkpointed] = most[0]
    (losses, gradients), (losses_again, gradients_again) = found[False], found[True]
    assert torch.equal(losses, losses_again)
    assert gradients.keys() == gradients_again.keys()
    assert all(torch.equal(gradients[name], gradients_again[name]) for name in gradients)
    assert peaks[True] < 0.8 * peaks[False]


def test_channels_last_gives_the_same_loss(batch: Batch, text: CachedText) -> None:
    learner = learner_of(replace(QUIET, channels_last=True), text)
    weight = learner.losses.policy.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    expected, gradients = losses_and_gradients(QUIET, batch, text)
    found, gradients_found = losses_and_gradients(replace(QUIET, channels_last=True), batch, text)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        assert (gradients_found[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5, name


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="NO C COMPILER: torch.compile is NOT TESTED here"
)
def test_compiled_blocks_give_the_same_loss(batch: Batch, text: CachedText, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    learner = learner_of(replace(QUIET, compile=True), text)
    _, *others = learner.losses.policy.unet.blocks()
    for other in (*others, learner.losses.policy.autoencoder.encoder):  # one is enough, and takes seconds
        del other.forward
    with torch.no_grad():
        expected, found = learner_of(QUIET, text).losses(batch), learner.losses(batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
