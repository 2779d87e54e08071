"""How the tests of a run's settings train, on the micro model."""

import shutil
from dataclasses import replace
from pathlib import Path

from micro import MICRO, STAGE1, silent, train_stage1
from torch import Tensor

from vptrain.batch import Batch
from vptrain.checkpoint import Checkpoint, training_policy
from vptrain.config import RunConfig
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.training.engine import Engine
from vptrain.training.learner import Learner
from vptrain.training.start import resume

QUIET = replace(STAGE1, evaluate_every=99, checkpoint_every=99)
FOUR_STEPS = replace(QUIET, steps=4, batch_size=1, checkpoint_every=2, keep_checkpoints=9)


def learner_of(run: RunConfig, text: CachedText) -> Learner:
    policy = training_policy(initial_policy(MICRO, seed=0), run)
    return Learner.make(policy, run=run, engine=Engine.start(run, device="cpu"), text=text)


def losses_and_gradients(run: RunConfig, batch: Batch, text: CachedText) -> tuple[Tensor, dict[str, Tensor]]:
    learner = learner_of(run, text)
    losses = learner.losses(batch)
    assert isinstance(losses, Tensor)
    losses.mean().backward()  # type: ignore[no-untyped-call]
    named = learner.losses.policy.named_parameters()
    return losses.detach(), {name: parameter.grad for name, parameter in named if parameter.grad is not None}


def trained(mixture_file: Path, folder: Path, run: RunConfig) -> Checkpoint:
    return Checkpoint.open(train_stage1(mixture_file, folder, run))


def second_half_again(mixture_file: Path, run: Path, folder: Path) -> Checkpoint:
    """What a copy of a run of `FOUR_STEPS` ends with that goes on from step 2."""
    shutil.copytree(run, folder)
    shutil.rmtree(folder / "checkpoints" / "step-00000004")
    (folder / "checkpoints" / "latest").write_text("step-00000002\n")
    resume(mixture_file, folder, stage="stage1", device="cpu").train(silent)
    return Checkpoint.open(folder)
