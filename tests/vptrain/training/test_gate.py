"""The check of a video before actions are trained on it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import Vptrain
from numpy.typing import NDArray
from PIL import Image

from vpdata.loader.window import Window
from vptrain.checkpoint import Checkpoint
from vptrain.training.gate import MIN_FIRST_PSNR, MIN_GAIN_DB, Motion, complaint

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@pytest.fixture
def recorded(labelled_windows: list[Window]) -> list[NDArray[np.uint8]]:
    return [frames for window in labelled_windows for frames in window.frames.values()]


def passes(motion: Motion) -> bool:
    assert motion.gain_db is not None
    return motion.gain_db >= MIN_GAIN_DB and motion.first_psnr >= MIN_FIRST_PSNR


def repeated(first: NDArray[Any], count: int) -> NDArray[np.uint8]:
    return np.round(first[None]).astype(np.uint8).repeat(count, 0)


def test_motion_by_hand() -> None:
    recorded = np.zeros((3, 1, 4, 3), np.uint8)
    recorded[1:, 0, 0] = 100
    predicted = recorded.copy()
    predicted[:, 0, 3] = 30  # wrong from the first frame on: in no change
    predicted[1:, 0, 0] = 90
    motion = Motion.of([(predicted, recorded)])
    assert motion.change == pytest.approx(50)
    assert motion.gain_db == pytest.approx(20)  # an error of 10 where standing still makes one of 100
    assert motion.first_psnr == pytest.approx(10 * np.log10(255**2 * 4 / 900))


def test_what_knows_nothing_of_the_motion_fails(recorded: list[NDArray[np.uint8]]) -> None:
    blurred = [cv2.GaussianBlur(r[0], (0, 0), 5).astype(float) for r in recorded]
    still = {
        "repeated": [repeated(r[0], len(r)) for r in recorded],
        "grey": [repeated(np.full_like(r[0], r.mean()), len(r)) for r in recorded],
        "blurred": [repeated(b, len(r)) for b, r in zip(blurred, recorded, strict=True)],
    }
    for name, predicted in still.items():
        assert Motion.of(list(zip(predicted, recorded, strict=True))).gain_db == pytest.approx(0), name
    fading = [np.concatenate([r[:1], repeated(b, len(r))[1:]]) for b, r in zip(blurred, recorded, strict=True)]
    backwards = [np.clip(2.0 * r[:1] - r, 0, 255).astype(np.uint8) for r in recorded]
    others = recorded[3:] + recorded[:3]
    for predicted in (fading, backwards, others, *still.values()):
        assert not passes(Motion.of(list(zip(predicted, recorded, strict=True))))


def test_what_predicts_the_motion_passes(recorded: list[NDArray[np.uint8]]) -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(r + rng.normal(0, 6, r.shape), 0, 255).astype(np.uint8) for r in recorded]
    late = [np.concatenate([r[:1], ((r[:1].astype(int) + r[1:]) // 2).astype(np.uint8)]) for r in recorded]
    blurred = [np.stack([cv2.GaussianBlur(frame, (0, 0), 1) for frame in r]) for r in recorded]
    for predicted in (recorded, noisy, late, blurred):
        assert passes(Motion.of(list(zip(predicted, recorded, strict=True))))
    assert Motion.of([(r, r) for r in recorded]).first_psnr == 99
    dark = [(r // 4).astype(np.uint8) + np.uint8(60) for r in recorded]
    assert not passes(Motion.of(list(zip(dark, recorded, strict=True))))


def test_nothing_that_moves(recorded: list[NDArray[np.uint8]]) -> None:
    motion = Motion.of([(r, repeated(r[0], len(r))) for r in recorded])
    assert motion.gain_db is None
    assert motion.change == 0


def test_a_video_that_is_not_good_enough(
    vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "video"
    shutil.copytree(stage1_run, run)
    stage2 = (
        "stage2", "--mixture", mixture_file, "--from", run, "--steps", 1, "--batch-size", 1, "--num-workers", 0,
        "--device", "cpu", "--set", "evaluate_every=99", "--set", "trackers=none",
    )  # fmt: skip
    refused = vptrain(*stage2, "--out", tmp_path / "no", "--require-check")
    assert "its video has not been checked" in refused.message
    assert not (tmp_path / "no").exists()

    ended = vptrain("check-video", run, "--mixture", mixture_file, "--windows", 3, "--device", "cpu")
    assert ended.exit_code == 1
    assert "LPIPS is not computed" in ended.stderr
    assert "FAILED" in ended.stderr
    found = json.loads((run / "check-video.json").read_text())
    assert found["passed"] is False
    assert found["step"] == 3
    rows = {(row["source"], row["camera"]) for row in found["cameras"]}
    assert rows >= {("robocasa", "wrist"), ("robocasa", "left"), ("robocasa", "right")}
    assert found["judged"] == "held-out clips with actions"
    sheet = np.asarray(Image.open(run / "check-video.png"))
    assert sheet.std() > 5
    assert "failed its check" in vptrain(*stage2, "--out", tmp_path / "no", "--require-check").message
    warned = vptrain(*stage2, "--out", tmp_path / "policy")
    assert warned.exit_code == 0, warned.stderr
    assert "its video has failed its check" in warned.stderr

    ended = vptrain(
        "check-video", run, "--mixture", mixture_file, "--windows", 2, "--device", "cpu", "--min-gain", -99,
        "--min-first", 0, "--json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert printed == json.loads((run / "check-video.json").read_text())
    assert complaint(Checkpoint.open(run)) is None
    passed = vptrain(*stage2, "--out", tmp_path / "checked", "--require-check")
    assert passed.exit_code == 0, passed.stderr
    assert "its video" not in passed.stderr
    changed = printed | {"step": 2}
    (run / "check-video.json").write_text(json.dumps(changed))
    assert complaint(Checkpoint.open(run)) == "its video was checked at step 2, and this is step 3"


def test_the_scores_are_those_of_the_predictions(
    vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(stage1_run, tmp_path / "video")
    ended = vptrain(
        "check-video", tmp_path / "video", "--mixture", mixture_file, "--windows", 1, "--device", "cpu", "--json"
    )
    cameras = json.loads(ended.stdout)["cameras"]
    ended = vptrain(
        "predict", tmp_path / "video", "--mixture", mixture_file, "--out", tmp_path / "look", "--videos", 1,
        "--device", "cpu", "--json",
    )  # fmt: skip
    (clip,) = json.loads(ended.stdout)["clips"]

    def pooled(scores: list[Mapping[str, float]]) -> float:
        return float(-10 * np.log10(np.mean([10 ** (-score["psnr"] / 10) for score in scores])))

    assert pooled([row["scores"] for row in cameras]) == pytest.approx(clip["psnr"], abs=0.01)
    assert pooled([row["baseline"] for row in cameras]) == pytest.approx(clip["baseline_psnr"], abs=0.01)
