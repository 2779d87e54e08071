"""Clips that are sampled while a run goes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import pytest
from micro import MICRO, STAGE1, STAGE2, silent
from test_processes import ENVIRONMENT, PROGRAM

from vpdata import spaces
from vpdata.mixture.mixture import Mixture
from vptrain.checkpoint import Checkpoint
from vptrain.config import overridden
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.windows import spread_windows
from vptrain.training.metrics import read_metrics
from vptrain.training.quality import Quality, videos
from vptrain.training.samples import NUM_SHOWN, Samples, make_samples
from vptrain.training.start import start_stage1, start_stage2
from vptrain.training.trainer import EVALUATION_WINDOWS

SAMPLED = replace(STAGE1, steps=2, batch_size=1, sample_every=1, evaluate_every=99, ema_decay=0.5)


def quiet(_: str) -> None:
    """Says nothing."""


def test_stage1_shows_and_scores_video(mixture_file: Path, mixture: Mixture, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start_stage1(mixture_file, folder, model=MICRO, run=SAMPLED, device="cpu").train(silent, say=quiet)
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if "samples" in line]
    assert [line["step"] for line in lines] == [1, 2]
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["step-00000001.mp4", "step-00000002.mp4"]
    with av.open(str(folder / "samples" / "step-00000002.mp4")) as video:
        assert len(list(video.decode(video=0))) == MICRO.num_frames + 3
    # the last scores are those of the averaged weights, which the checkpoint holds
    windows = spread_windows(mixture.held_out_clips(), MICRO, count=EVALUATION_WINDOWS)
    samples = make_samples(SAMPLED, windows, None, say=quiet)
    assert samples is not None
    assert len({(window.key, window.start) for window in samples.shown}) == NUM_SHOWN
    trainer = start_stage1(mixture_file, tmp_path / "other", model=MICRO, run=SAMPLED, device="cpu")
    predictions = samples.predict(Checkpoint.open(folder).load_policy(), trainer.text)
    assert lines[-1]["samples"]["psnr"] == pytest.approx(Quality.load().score(videos(predictions)).psnr, abs=1e-3)
    assert set(lines[-1]["samples"]) == {"psnr", "ssim", "baseline_psnr"}


def test_stage2_measures_every_dimension_of_the_actions(mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = replace(STAGE2, steps=1, batch_size=1, sample_every=9, evaluate_every=99)
    start_stage2(mixture_file, folder, stage1=stage1_run, run=run, device="cpu").train(silent, say=quiet)
    (scores,) = [line["samples"] for line in read_metrics(folder / "metrics.jsonl") if "samples" in line]
    assert set(scores) == {"action_error", "baseline_action_error", "action_error_by_dimension"}
    errors = scores["action_error_by_dimension"]
    assert list(errors) == list(spaces.load(MICRO.action_space).names)
    squares = [error**2 for error in errors.values()]
    assert scores["action_error"] == pytest.approx((sum(squares) / len(squares)) ** 0.5)
    assert not (folder / "samples").exists()


def test_what_each_stage_samples(mixture: Mixture, normalizer: ActionNormalizer) -> None:
    windows = spread_windows(mixture.held_out_clips(), MICRO, count=7)

    def made(stage: str, count: int = 7) -> Samples | None:
        return make_samples(replace(SAMPLED, stage=stage), windows[:count], normalizer, say=quiet)

    stage1, stage2, joint = made("stage1"), made("stage2"), made("joint")
    assert stage1 is not None
    assert stage2 is not None
    assert joint is not None
    assert (len(stage1.shown), len(stage1.others), stage1.normalizer) == (4, 0, None)
    assert (len(stage2.shown), len(stage2.others)) == (0, 7)
    assert (len(joint.shown), len(joint.others)) == (4, 3)
    assert {id(w) for w in (*joint.shown, *joint.others)} == {id(w) for w in windows}
    assert made("stage1", 0) is None
    assert make_samples(STAGE1, windows, None, say=quiet) is None


def test_two_processes_with_sharded_weights_measure_what_one_does(mixture_file: Path, tmp_path: Path) -> None:
    settings = ["steps=1", "batch_size=2", "learning_rate=0", "trackers=none", "sample_every=1"]
    here, there = tmp_path / "here", tmp_path / "there"
    run = overridden(STAGE1, settings)
    start_stage1(mixture_file, here, model=MICRO, run=run, device="cpu").train(silent, say=quiet)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ended = subprocess.run(
        [*launcher, str(PROGRAM), "stage1", str(mixture_file), str(there), *settings, "sharding=full"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    one, two = (read_metrics(folder / "metrics.jsonl") for folder in (here, there))
    losses, samples = one[1], one[2]
    assert two[1]["held_out_loss_by_sigma"] == pytest.approx(losses["held_out_loss_by_sigma"], rel=1e-4)
    assert two[2]["samples"] == pytest.approx(samples["samples"], rel=1e-4)
