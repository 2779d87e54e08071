import errno
import fcntl
import json
import multiprocessing
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from micro import MICRO, STAGE1, STAGE2, silent
from torch import Tensor

from vpdata.mixture.mixture import Mixture
from vptrain.checkpoint import Checkpoint
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.rollout.windows import convertible, spread_windows
from vptrain.training.metrics import read_metrics
from vptrain.training.optimizer import freeze, make_optimizer
from vptrain.training.start import resume, start_joint, start_stage1, start_stage2
from vptrain.training.step import StageLosses
from vptrain.training.trainer import LOCK, Progress


def changed_parts(before: VideoPolicy, after: VideoPolicy) -> set[str]:
    old, new = before.state_dict(), after.state_dict()
    return {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}


def test_stage1_trains_the_unet_alone(stage1_run: Path) -> None:
    trained = Checkpoint.open(stage1_run).load_policy()
    assert changed_parts(initial_policy(MICRO, seed=STAGE1.seed), trained) == {"unet"}


def test_stage2_leaves_the_unet_as_it_was(stage1_run: Path, stage2_run: Path) -> None:
    before, after = (Checkpoint.open(run).load_policy() for run in (stage1_run, stage2_run))
    assert changed_parts(before, after) == {"encoder", "head"}


def test_stage2_changes_every_tower_that_it_sees(stage1_run: Path, stage2_run: Path) -> None:
    before, after = (Checkpoint.open(run).load_policy().state_dict() for run in (stage1_run, stage2_run))
    for part in ("encoder.towers.0", "encoder.towers.1", "encoder.towers.2", "encoder.fusion", "head.down", "head.out"):
        assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith(part)), part


def test_joint_training_moves_all_but_the_autoencoder(mixture_file: Path, tmp_path: Path) -> None:
    run = replace(STAGE1, stage="joint", steps=1, batch_size=1)
    start_joint(mixture_file, tmp_path / "run", start=MICRO, run=run, device="cpu").train(silent)
    trained = Checkpoint.open(tmp_path / "run").load_policy()
    assert changed_parts(initial_policy(MICRO, seed=0), trained) == {"unet", "encoder", "head"}


def test_what_each_stage_trains(text: CachedText) -> None:
    policy = initial_policy(MICRO, seed=0)
    sizes = {part: sum(p.numel() for p in getattr(policy, part).parameters()) for part in ("unet", "encoder", "head")}
    for stage, groups in {
        "stage1": [(sizes["unet"], 1.0)],
        "stage2": [(sizes["encoder"] + sizes["head"], 1.0)],
        "joint": [(sizes["unet"], 1.0), (sizes["encoder"] + sizes["head"], 5.0)],
    }.items():
        run = replace(STAGE1, stage=stage)
        freeze(policy, run)
        got = make_optimizer(StageLosses(policy, text=text, run=run), run).param_groups
        assert [(sum(p.numel() for p in group["params"]), group["factor"]) for group in got] == groups
        assert sum(p.numel() for p in policy.parameters() if p.requires_grad) == sum(size for size, _ in groups)


def test_a_run_describes_itself(stage1_run: Path, mixture_file: Path) -> None:
    described = json.loads((stage1_run / "run.json").read_text())
    policy = Checkpoint.open(stage1_run).load_policy()
    assert described["mixture"] == str(mixture_file)
    assert described["run"]["batch_size"] == STAGE1.batch_size
    assert described["trainable_parameters"] == sum(p.numel() for p in policy.unet.parameters())
    assert described["parameters"] == sum(p.numel() for p in policy.parameters())


def test_metrics_are_the_mean_of_the_reported_losses(mixture_file: Path, tmp_path: Path) -> None:
    reported: list[Progress] = []
    run = replace(STAGE1, steps=5, batch_size=1, checkpoint_every=2, evaluate_every=3)
    start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=run, device="cpu").train(reported.append)
    assert [progress.step for progress in reported] == [1, 2, 3, 4, 5]
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    given = [progress.loss for progress in reported]
    assert losses == pytest.approx({2: sum(given[:2]) / 2, 4: sum(given[2:4]) / 2, 5: given[4]})
    assert [line["step"] for line in lines if "held_out_loss" in line] == [3, 5]


def test_the_rate_warms_up_and_decays(mixture_file: Path, tmp_path: Path) -> None:
    run = replace(
        STAGE1, steps=6, batch_size=1, warmup_steps=2, schedule="cosine", checkpoint_every=1, evaluate_every=99
    )
    start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=run, device="cpu").train(silent)
    rates = [line["learning_rate"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in line]
    expected = [0.5, 1.0, *(0.5 * (1 + np.cos(np.pi * done / 4)) for done in range(4))]
    assert rates == pytest.approx([run.learning_rate * factor for factor in expected])


def test_training_lowers_the_held_out_loss(mixture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vptrain.training.trainer.EVALUATION_WINDOWS", 2)
    run = replace(STAGE1, steps=20, batch_size=2, learning_rate=3e-3, checkpoint_every=20, evaluate_every=1)
    start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=run, device="cpu").train(silent)
    losses = [line["held_out_loss"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" not in line]
    assert len(losses) == 20
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_loss_that_is_not_finite_stops_the_run(
    stage1_run: Path, mixture_file: Path, tmp_path: Path, stage: str
) -> None:
    if stage == "stage1":
        trainer = start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=STAGE1, device="cpu")
        poisoned: Tensor = trainer.policy.unet.conv_in.weight
    else:
        trainer = start_stage2(mixture_file, tmp_path / "run", stage1=stage1_run, run=STAGE2, device="cpu")
        poisoned = trainer.policy.head.out.weight
    with torch.no_grad():
        poisoned.view(-1)[0] = float("nan")
    with pytest.raises(VptrainError, match=r"the loss of step 1 is nan: .* positions 0 to 2 of the mixture") as caught:
        trainer.train(silent)
    assert "--lr" in str(caught.value)
    assert caught.value.path == str(tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert trainer.step == 0


def test_held_out_windows_are_spread_and_distinct(mixture: Mixture) -> None:
    clips = [placed for placed in mixture.held_out_clips() if convertible(placed, MICRO)]
    assert {placed.source for placed in clips} == {"robocasa"}
    for count in (1, 8, 16, 10_000):
        windows = spread_windows(clips, MICRO, count=count)
        places = {(window.key, window.start) for window in windows}
        assert len(places) == len(windows)
        assert len(windows) <= count
        if count >= len(clips):
            per_clip = count // len(clips)
            assert len(windows) == sum(min(per_clip, placed.clip.num_labelled_starts) for placed in clips)
        assert all(window.actions is not None for window in windows)
    many = clips * 5
    for count in (1, 2, len(many) - 1):
        assert len(spread_windows(many, MICRO, count=count)) == count
    (middle,) = spread_windows(clips, MICRO, count=1)
    assert middle.key == clips[len(clips) // 2].clip.key
    first = clips[0].clip
    starts = [w.start - first.span.start for w in spread_windows(clips[:1], MICRO, count=4)]
    assert starts == [first.num_labelled_starts * odd // 8 for odd in (1, 3, 5, 7)]


def test_only_clips_that_the_model_can_act_on_count(mixture: Mixture) -> None:
    (placed, *_) = [placed for placed in mixture.training_clips() if placed.source == "robocasa"]
    assert convertible(placed, MICRO)
    assert not convertible(placed._replace(labelled=False), MICRO)
    assert not convertible(placed, replace(MICRO, action_space="aloha_action"))
    assert not convertible(placed, replace(MICRO, cameras=("front",)))


def test_one_run_trains_in_a_folder_at_a_time(mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stage1_run, folder)
    trainer = resume(mixture_file, folder, stage="stage1", device="cpu")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    with (folder / LOCK).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(VptrainError, match="another process is training in this folder"):
            trainer.train(silent)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_a_damaged_run_json_is_said(mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stage1_run, folder)
    (folder / "run.json").write_text("{")
    with pytest.raises(VptrainError, match=r"run\.json: it cannot be read .* Remove it"):
        resume(mixture_file, folder, stage="stage1", device="cpu").train(silent)


def test_a_run_that_fails_ends_its_loader(mixture_file: Path, tmp_path: Path) -> None:
    """Left to the interpreter's end, a loader waits there for its own dead threads."""

    def fail(_: Progress) -> None:
        raise OSError(errno.EIO, "as it happens")

    run = replace(STAGE1, num_workers=1)
    trainer = start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=run, device="cpu")
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="as it happens"):  # which keeps the error, and so all of its frames
        trainer.train(fail)
    assert set(threading.enumerate()) <= before
    assert multiprocessing.active_children() == []
