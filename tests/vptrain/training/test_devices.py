"""What a GPU would run: no tensor on the wrong device, no wait for it, all of it compiled; without one."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from learners import QUIET, learner_of, losses_and_gradients
from micro import MICRO
from torch import Tensor

from vptrain.batch import Batch, Latents
from vptrain.config import ModelConfig, RunConfig
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.training.evaluation import NUM_LEVELS, levels
from vptrain.training.footprint import example_batch
from vptrain.training.learner import LossError
from vptrain.training.optimizer import freeze
from vptrain.training.step import StageLosses

META = torch.device("meta")
"""Another device than the CPU, whose tensors have no values: reading one, or mixing devices, is an error."""
WIDTHS = replace(MICRO, unet=replace(MICRO.unet, block_out_channels=(32, 64, 96, 128)))
"""Blocks of more kinds than torch compiles by default."""


def on_meta(model: ModelConfig, *, labelled: bool, latents: bool) -> Batch:
    """As `make_batches` leaves a batch: frames or latents on the device, the rest on the CPU."""
    batch = example_batch(model, layout=model.cameras[:2], windows=2, labelled=labelled, latents=latents)
    if batch.latents is None:
        return replace(batch, frames_BVFHWC=batch.pictures_BVFHWC.to(META))
    moved = {name: getattr(batch.latents, name).to(META) for name in Latents.__slots__}
    return replace(batch, latents=replace(batch.latents, **moved))


@pytest.mark.parametrize("latents", [False, True])
@pytest.mark.parametrize("stage", ["stage1", "stage2", "joint"])
def test_a_step_stays_on_the_device_and_does_not_wait_for_it(
    stage: str, latents: bool, text: CachedText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vptrain.draws.generator", lambda *_: None)  # meta tensors have no numbers to draw
    monkeypatch.setattr("vptrain.training.step._autocast", lambda *_: nullcontext())
    run = replace(QUIET, stage=stage, high_log_sigma_mean=6.5)
    policy = VideoPolicy(MICRO).to(META)
    freeze(policy, run)
    losses = StageLosses(policy, text=text, run=run)
    batch = on_meta(MICRO, labelled=stage != "stage1", latents=latents)
    with torch.no_grad():
        by_level = losses(batch, levels=levels())
        item = losses(batch, features_only=True) if stage == "stage2" else batch
    found = losses(item)
    assert isinstance(found, Tensor)
    assert isinstance(by_level, Tensor)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert (found.device, by_level.device) == (META, META)
    assert (found.shape, by_level.shape) == ((2,), (NUM_LEVELS, 2))


@pytest.mark.slow
@pytest.mark.parametrize("checkpointed", [False, True])
def test_every_block_is_compiled(
    batch: Batch, text: CachedText, checkpointed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.compiler.reset()
    compile_, graphs = torch.compile, list[torch.fx.GraphModule]()

    def keep(graph: torch.fx.GraphModule, _: object) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, **chosen: compile_(function, backend=keep, **chosen))
    monkeypatch.setattr("learners.MICRO", WIDTHS)
    run = replace(QUIET, activation_checkpointing=checkpointed)
    expected, gradients = losses_and_gradients(run, batch, text)
    torch._dynamo.utils.counters.clear()
    found, gradients_found = losses_and_gradients(replace(run, compile=True), batch, text)
    assert len(graphs) > 8
    assert not torch._dynamo.utils.counters["graph_break"]
    assert not torch._dynamo.utils.counters["unimplemented"]  # such as its limit of variants
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert gradients_found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert (gradients_found[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5, name


def test_pixels_are_jittered_in_float32(batch: Batch, text: CachedText) -> None:
    learner = learner_of(replace(QUIET, precision="bf16", color_jitter=True), text)
    seen = list[torch.dtype]()
    encoder = learner.losses.policy.autoencoder.encoder
    encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.no_grad():
        learner.losses(batch)
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize(("precision", "expected"), [("fp32", False), ("bf16", True), ("fp16", False)])
def test_samples_are_made_in_a_precision_that_the_autoencoder_takes(
    text: CachedText, precision: str, expected: bool
) -> None:
    learner = learner_of(replace(QUIET, precision=precision), text)
    assert learner.use(lambda *_: torch.is_autocast_enabled("cpu")) is expected


def test_a_gradient_that_is_not_finite_moves_no_weight(batch: Batch, text: CachedText) -> None:
    learner = learner_of(QUIET, text)
    weight = learner.losses.policy.unet.conv_out.weight
    before = weight.detach().clone()
    weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(LossError, match="the gradient's norm of step 1 is"):
        learner.update([batch], turn=0, step=0, stopping=False)
    assert torch.equal(weight, before)
    assert all(parameter.isfinite().all() for parameter in learner.losses.parameters())


@pytest.mark.parametrize("setting", [{"channels_last": True}, {"optimizer": "adamw8bit"}, {"precision": "fp16"}])
def test_what_sharded_weights_cannot_have_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(VptrainError, match="shard"):
        RunConfig(
            **{"stage": "stage1", "steps": 1, "batch_size": 1, "learning_rate": 1.0, "sharding": "full", **setting}
        )
