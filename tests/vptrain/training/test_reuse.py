"""Stage 2 learns several times from the frozen UNet's features of a block of batches."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from micro import STAGE2, silent
from torch import Tensor

from vptrain.checkpoint import Checkpoint
from vptrain.training.start import resume, start_stage2
from vptrain.training.step import Features, StageLosses
from vptrain.training.trainer import Progress

RUN = replace(STAGE2, steps=8, batch_size=2, reuse=3, reuse_block=2, checkpoint_every=4, evaluate_every=100)


class Stopped(Exception):
    pass


def test_every_batch_serves_as_often_as_asked(
    mixture_file: Path, stage1_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Features] = []
    original = StageLosses._head_losses

    def counting(self: StageLosses, features: Features, *, turn: int, level: float | None = None) -> Tensor:
        if torch.is_grad_enabled():  # not of held-out windows
            seen.append(features)
        return original(self, features, turn=turn, level=level)

    monkeypatch.setattr(StageLosses, "_head_losses", counting)
    run = replace(RUN, steps=12)
    start_stage2(mixture_file, tmp_path / "run", stage1=stage1_run, run=run, device="cpu").train(silent)
    assert Counter(Counter(map(id, seen)).values()) == {3: 4}
    first_block = {id(features) for features in seen[:6]}
    assert len(first_block) == 2
    assert first_block.isdisjoint(id(features) for features in seen[6:])
    assert all(features.output.features[9].grad_fn is None for features in seen)


def test_a_run_resumed_inside_a_block_ends_as_if_it_had_not_stopped(
    mixture_file: Path, stage1_run: Path, tmp_path: Path
) -> None:
    def start(name: str, stop_at: int | None) -> Path:
        folder = tmp_path / name

        def report(progress: Progress) -> None:
            if progress.step == stop_at:
                raise Stopped

        start_stage2(mixture_file, folder, stage1=stage1_run, run=RUN, device="cpu").train(report)
        return folder

    whole = Checkpoint.open(start("whole", None))
    with pytest.raises(Stopped):
        start("stopped", 5)
    stopped = Checkpoint.open(tmp_path / "stopped")
    assert stopped.step == 4  # inside the first block of 2 · 3 steps
    assert stopped.data.position == 0
    resume(mixture_file, tmp_path / "stopped", stage="stage2", device="cpu").train(silent)
    resumed = Checkpoint.open(tmp_path / "stopped")
    assert resumed.step == whole.step == 8
    assert resumed.data.position == whole.data.position == 4  # the second block's first window
    ours, theirs = resumed.load_policy().state_dict(), whole.load_policy().state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_other_noise_on_the_actions_each_time(mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    run = replace(RUN, steps=3, reuse_block=1, learning_rate=0.0)
    trainer = start_stage2(mixture_file, tmp_path / "run", stage1=stage1_run, run=run, device="cpu")
    trainer.train(lambda progress: losses.append(progress.loss))
    assert len(set(losses)) == 3
