"""The moving average of weights, on the micro model and real windows."""

from dataclasses import replace
from pathlib import Path

import torch
from learners import FOUR_STEPS, QUIET, second_half_again, trained
from micro import MICRO, STAGE2, train_stage2

from vptrain.checkpoint import Checkpoint
from vptrain.models.pretrained import initial_policy


def test_the_average_is_the_formula_and_what_is_used(small: Path, tmp_path: Path) -> None:
    run = replace(QUIET, steps=2, batch_size=1, ema_decay=0.5, checkpoint_every=1, keep_checkpoints=9)
    checkpoint = trained(small, tmp_path / "run", run)
    name = "unet.conv_out.weight"
    average = initial_policy(MICRO, seed=0).state_dict()[name]
    for step in (1, 2):
        folder = tmp_path / "run" / "checkpoints" / f"step-{step:08d}"
        weight = Checkpoint.open(folder).load_training_policy().state_dict()[name]
        decay = min(0.5, step / (9 + step))  # as the class says, for update number step - 1
        average = decay * average + (1 - decay) * weight
    used, raw = checkpoint.load_policy().state_dict(), checkpoint.load_training_policy().state_dict()
    torch.testing.assert_close(used[name], average)
    assert not torch.allclose(used[name], raw[name], rtol=0, atol=1e-6)
    run = replace(STAGE2, steps=1, batch_size=1)
    policy = train_stage2(small, tmp_path / "policy", tmp_path / "run", run)
    frozen = Checkpoint.open(policy).load_policy().state_dict()
    assert all(torch.equal(frozen[key], used[key]) for key in frozen if key.startswith("unet."))


def test_the_average_survives_a_resume(small: Path, tmp_path: Path) -> None:
    whole = trained(small, tmp_path / "whole", replace(FOUR_STEPS, ema_decay=0.9))
    again = second_half_again(small, tmp_path / "whole", tmp_path / "again")
    assert again.step == 4
    assert again.files == whole.files
