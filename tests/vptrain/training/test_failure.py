"""A step that could not be taken is kept, and can be computed again."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import Vptrain
from micro import MICRO, STAGE1, STAGE2, silent

from vpdata.mixture.mixture import Mixture
from vptrain.errors import VptrainError
from vptrain.training import watch
from vptrain.training.failure import replay
from vptrain.training.metrics import read_metrics
from vptrain.training.start import resume, start_stage1, start_stage2
from vptrain.training.trainer import Trainer


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first loss above the one before is one too many."""
    monkeypatch.setattr(watch, "HISTORY", 1)
    monkeypatch.setattr(watch, "PATIENCE", 1)


def fail(trainer: Trainer) -> int:
    """Trains until a step fails; returns which."""
    with pytest.raises(VptrainError, match="vptrain replay"):
        trainer.train(silent)
    return trainer.step + 1


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_failed_step_is_the_same_when_replayed(
    mixture_file: Path, mixture: Mixture, stage1_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def start(folder: Path, factor: float | None) -> Trainer:
        logged = 1 if factor is None else 99
        changes = {"steps": 4, "checkpoint_every": logged, "evaluate_every": 99, "micro_batch_size": 2}
        if stage == "stage1":
            run = replace(STAGE1, **changes, diverge_factor=factor)
            return start_stage1(mixture_file, folder, model=MICRO, run=run, device="cpu")
        run = replace(STAGE2, **changes, diverge_factor=factor, reuse=2, reuse_block=2)
        return start_stage2(mixture_file, folder, stage1=stage1_run, run=run, device="cpu")

    start(tmp_path / "calm", None).train(silent)
    impatient(monkeypatch)
    step = fail(start(tmp_path / "run", 1.0001))
    assert step > 1
    calm = {line["step"]: line for line in read_metrics(tmp_path / "calm" / "metrics.jsonl") if "loss" in line}
    again = replay(tmp_path / "run" / "failed" / f"step-{step:08d}", device="cpu")
    assert again.step == step
    assert again.loss == pytest.approx(calm[step]["loss"], rel=1e-5)
    assert again.loss_again == pytest.approx(again.loss, rel=1e-4)
    assert again.gradient_norm == pytest.approx(calm[step]["gradient_norm"], rel=1e-3)
    assert [one.loss_again for one in again.windows] == pytest.approx([one.loss for one in again.windows], rel=1e-3)
    assert [one.loss_again for one in again.windows] == sorted((w.loss_again for w in again.windows), reverse=True)
    assert len(again.windows) == STAGE1.batch_size
    stream = mixture if stage == "stage1" else mixture.labelled_only()
    for one in again.windows:
        reference = stream.locate(one.window.position)
        clip = stream.datasets[reference.dataset].clips[reference.clip]
        shown = (one.window.clip, one.window.shard, one.window.start)
        assert shown == (clip.key, clip.shard, clip.span.start + reference.start)
        assert one.window.instruction in (*clip.episode.instructions, "")


def test_a_run_goes_on_after_a_failure(mixture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as while_failing:
        impatient(while_failing)
        run = replace(STAGE1, steps=4, batch_size=1, checkpoint_every=1, evaluate_every=99, diverge_factor=1.0001)
        fail(start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=run, device="cpu"))
    trainer = resume(mixture_file, tmp_path / "run", stage="stage1", device="cpu", changes=["diverge_factor=none"])
    assert trainer.train(silent)


def test_a_loss_that_is_no_number_is_replayed(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    trainer = start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=STAGE1, device="cpu")
    with torch.no_grad():
        trainer.policy.unet.conv_in.weight.view(-1)[0] = float("nan")
    assert fail(trainer) == 1
    folder = tmp_path / "run" / "failed" / "step-00000001"
    ended = vptrain("replay", folder, "--device", "cpu", "--json")
    assert ended.exit_code == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert printed["loss"] == printed["loss_again"] == printed["gradient_norm"] == "nan"
    assert sorted(one["window"]["position"] for one in printed["windows"]) == [0, 1, 2]
    shown = vptrain("replay", folder, "--device", "cpu")
    assert shown.exit_code == 0, shown.stderr
    assert "Step 1: loss nan, again nan" in shown.stdout
    for one in printed["windows"]:
        assert one["window"]["clip"] in shown.stdout


def test_the_worst_window_comes_first(mixture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    run = replace(STAGE1, steps=4, batch_size=2, evaluate_every=99, diverge_factor=1.0001)
    step = fail(start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=run, device="cpu"))
    folder = tmp_path / "run" / "failed" / f"step-{step:08d}"
    kept = torch.load(folder / "items-0.pt", weights_only=False)
    with torch.no_grad():  # as damaged numbers would
        kept["items"][-1] = spoilt(kept["items"][-1])
    torch.save(kept, folder / "items-0.pt")
    windows = replay(folder, device="cpu").windows
    assert [math.isnan(one.loss_again) for one in windows] == sorted(
        (math.isnan(one.loss_again) for one in windows), reverse=True
    )


def spoilt(batch: object) -> object:
    """The batch with a mask that counts nothing, the mean of which is no number."""
    return replace(batch, frame_mask_BF=torch.zeros_like(batch.frame_mask_BF))  # type: ignore[attr-defined,type-var]


def test_what_is_no_failed_step(vptrain: Vptrain, stage1_run: Path, tmp_path: Path) -> None:
    assert "not the folder of a failed step" in vptrain("replay", stage1_run).message
    shutil.copytree(stage1_run / "checkpoints", tmp_path / "checkpoints")
    assert "Name a folder RUN/failed/step-N" in vptrain("replay", tmp_path).message


def test_a_failure_that_cannot_be_kept_is_still_told(
    mixture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    run = replace(STAGE1, steps=4, batch_size=1, evaluate_every=99, diverge_factor=1.0001)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "failed").write_text("in the way")
    with pytest.raises(VptrainError, match=r"the loss of step \d is .*they could not be kept") as caught:
        start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=run, device="cpu").train(silent)
    assert "positions" in str(caught.value)
