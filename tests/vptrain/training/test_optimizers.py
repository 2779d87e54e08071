"""Optimizers, learning rates and clipping, on the micro model and real windows."""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from learners import FOUR_STEPS, QUIET, learner_of, second_half_again, trained
from micro import MICRO
from torch import Tensor, nn

from vptrain.batch import Batch
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.training.learner import Learner
from vptrain.training.optimizer import rate_factor

NAME = "unet.conv_out.weight"


def one_update(run: RunConfig, batch: Batch, text: CachedText) -> tuple[Learner, dict[str, Tensor], dict[str, Tensor]]:
    """A learner after a step, the weights before it, and its gradients."""
    learner = learner_of(run, text)
    policy = learner.losses.policy
    before = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    items = learner.features([batch]) if run.stage == "stage2" else [batch]
    learner.update(items, turn=0, step=0, stopping=False)
    gradients = {name: parameter.grad for name, parameter in policy.named_parameters() if parameter.grad is not None}
    return learner, before, gradients


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_first_update_is_the_formula(batch: Batch, text: CachedText, optimizer: str) -> None:
    run = replace(QUIET, optimizer=optimizer, weight_decay=0.1, epsilon=1e-8, learning_rate=1e-3)
    learner, before, gradients = one_update(run, batch, text)
    weight, gradient = before[NAME], gradients[NAME]
    if optimizer == "adam":
        gradient = gradient + 0.1 * weight
    else:
        weight = weight - 1e-3 * 0.1 * weight
    expected = weight - 1e-3 * gradient / (gradient.abs() + 1e-8)  # after bias correction both moments are the first
    found = dict(learner.losses.policy.named_parameters())[NAME].detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="NO BITSANDBYTES: 8-bit AdamW is NOT TESTED here"
)
def test_eight_bit_adamw_trains_and_resumes(small: Path, tmp_path: Path) -> None:
    eight = trained(small, tmp_path / "eight", replace(FOUR_STEPS, optimizer="adamw8bit"))
    full = trained(small, tmp_path / "full", replace(FOUR_STEPS, optimizer="adamw"))
    begun, found, expected = (
        policy.unet.state_dict() for policy in (initial_policy(MICRO, seed=0), eight.load_policy(), full.load_policy())
    )
    moved = torch.cat([(expected[name] - begun[name]).flatten() for name in begun])
    apart = torch.cat([(found[name] - expected[name]).flatten() for name in begun])
    assert apart.norm() < 0.5 * moved.norm()
    size = (eight.path / "optimizer.pt").stat().st_size
    assert size < 0.6 * (full.path / "optimizer.pt").stat().st_size
    again = second_half_again(small, tmp_path / "eight", tmp_path / "again").load_policy().state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in eight.load_policy().state_dict().items())


def test_eight_bit_adamw_says_what_to_install(text: CachedText, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(VptrainError, match=r"pip install 'vpdata\[eightbit\]'"):
        learner_of(replace(QUIET, optimizer="adamw8bit"), text)


@pytest.mark.parametrize("stage", ["stage1", "stage2", "joint"])
def test_every_part_moves_by_its_own_rate(batch: Batch, text: CachedText, stage: str) -> None:
    run = replace(QUIET, stage=stage, learning_rate=1e-4, head_rate_factor=3.0, epsilon=1e-30)
    learner, before, gradients = one_update(run, batch, text)
    rates = {"stage1": {"unet": 1e-4}, "stage2": {"encoder": 1e-4, "head": 1e-4}}
    rates["joint"] = {"unet": 1e-4, "encoder": 3e-4, "head": 3e-4}
    moved: dict[str, float] = {}
    for name, parameter in learner.losses.policy.named_parameters():
        part = name.split(".")[0]
        step = (parameter.detach() - before[name]).abs().max().item()
        moved[part] = max(moved.get(part, 0.0), step)
        if part not in rates[stage]:
            assert step == 0.0
            assert name not in gradients
    for part, rate in rates[stage].items():  # Adam's first step is as long as the rate
        assert moved[part] == pytest.approx(rate, rel=0.01)


def factors(run: RunConfig) -> Iterator[float]:
    return (rate_factor(run, step) for step in range(run.steps))


def test_schedules() -> None:
    run = replace(QUIET, steps=6, warmup_steps=2, final_rate_factor=0.2)
    assert list(factors(run)) == [0.5, 1, 1, 1, 1, 1]
    assert list(factors(replace(run, schedule="linear"))) == pytest.approx([0.5, 1, 1.0, 0.8, 0.6, 0.4])
    half = 0.2 + 0.8 * 0.5
    cosine = list(factors(replace(run, schedule="cosine")))
    assert (cosine[2], cosine[4]) == pytest.approx((1.0, half))
    assert all(earlier > later for earlier, later in pairwise(cosine[2:]))


def test_clipping_bounds_the_gradient(batch: Batch, text: CachedText) -> None:
    _, _, free = one_update(QUIET, batch, text)
    _, _, clipped = one_update(replace(QUIET, clip_norm=1e-3), batch, text)
    norm = nn.utils.get_total_norm(free.values())
    assert norm > 1e-3
    torch.testing.assert_close(nn.utils.get_total_norm(clipped.values()), torch.tensor(1e-3), rtol=1e-3, atol=0)
    torch.testing.assert_close(clipped[NAME], free[NAME] * (1e-3 / norm), rtol=1e-3, atol=1e-9)
