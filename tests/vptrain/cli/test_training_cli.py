"""The verbs as a user types them: exit codes, one-paragraph messages, and what they print."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Vptrain
from micro import MICRO, STAGE2

from vptrain.checkpoint import Checkpoint, sealed
from vptrain.cli.app import app
from vptrain.config import SamplingConfig, from_dict
from vptrain.recipes.models import TINY


@pytest.mark.parametrize(
    "verb", sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)
)
def test_every_verb_has_examples(vptrain: Vptrain, verb: str) -> None:
    shown = vptrain(verb, "--help")
    assert shown.exit_code == 0
    assert "Examples:" in shown.stdout
    assert f"vptrain {verb} " in shown.stdout


def test_the_command_can_be_run_as_a_module() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "vptrain", "stage2", "--mixture", "nothing.toml", "--from", "nothing", "--out", "run"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 1
    assert shown.stderr.startswith("error: nothing: this is neither a checkpoint nor a run with one.")


def test_a_missing_mixture(vptrain: Vptrain, tmp_path: Path) -> None:
    ended = vptrain("stage1", "--mixture", tmp_path / "no.toml", "--out", tmp_path / "run", "--pretrained", "random")
    assert "no such mixture file. Make one with `vpdata mix`." in ended.message
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    for arguments in (
        ("stage2", "--mixture", mixture_file, "--from", tmp_path, "--out", tmp_path / "run"),
        ("stage1", "--mixture", mixture_file, "--out", tmp_path, "--resume"),
        ("predict", tmp_path, "--mixture", mixture_file, "--out", tmp_path / "look"),
    ):
        assert "neither a checkpoint nor a run with one" in vptrain(*arguments).message


def test_a_run_that_exists(vptrain: Vptrain, mixture_file: Path, stage1_run: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in stage1_run.rglob("*"))
    ended = vptrain("stage1", "--mixture", mixture_file, "--out", stage1_run, "--pretrained", "random")
    assert "there is a run in this folder. Go on with --resume" in ended.message
    assert sorted(path.stat().st_mtime_ns for path in stage1_run.rglob("*")) == before


def test_a_run_that_is_complete(vptrain: Vptrain, mixture_file: Path, stage1_run: Path) -> None:
    ended = vptrain("stage1", "--mixture", mixture_file, "--out", stage1_run, "--resume")
    assert "this run is complete at step 3" in ended.message


def test_stage2_needs_a_stage1_run(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    ended = vptrain("stage2", "--mixture", mixture_file, "--out", tmp_path / "run")
    assert ended.exit_code == 2
    assert "--from" in ended.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--steps", 5), "a resumed run keeps its steps"),
        (("--lr", 0.1, "--batch-size", 9), "a resumed run keeps its batch_size, learning_rate"),
        (("--set", "precision=bf16"), "a resumed run keeps its precision"),
        (("--pretrained", "random"), "--pretrained"),
    ],
)
def test_a_resumed_run_takes_no_other_configuration(
    vptrain: Vptrain, mixture_file: Path, stage1_run: Path, option: tuple[object, ...], said: str
) -> None:
    ended = vptrain("stage1", "--mixture", mixture_file, "--out", stage1_run, "--resume", *option)
    assert ended.exit_code in (1, 2)
    assert said in " ".join(ended.stderr.split())


def test_a_resumed_run_may_change_what_changes_no_weight(
    vptrain: Vptrain, mixture_file: Path, stage1_run: Path
) -> None:
    options = ("--num-workers", 3, "--checkpoint-every", 7, "--set", "micro_batch_size=1", "--seed", 0)
    ended = vptrain("stage1", "--mixture", mixture_file, "--out", stage1_run, "--resume", *options)
    assert "this run is complete at step 3" in ended.message


def test_a_run_of_another_stage(vptrain: Vptrain, mixture_file: Path, stage1_run: Path) -> None:
    ended = vptrain("stage2", "--mixture", mixture_file, "--out", stage1_run, "--resume")
    assert "this is a run of stage1, not of stage2. Go on with `vptrain stage1 --resume`." in ended.message


def test_stage1_from_the_command_line(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ended = vptrain(
        "stage1", "--mixture", mixture_file, "--out", out, "--pretrained", "random", "--steps", 1, "--batch-size", 1,
        "--seed", 3, "--num-workers", 0, "--device", "cpu", "--set", "evaluate_every=1", "--json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert (printed["stage"], printed["steps"], printed["run"]) == ("stage1", 1, str(out))
    assert "stage1 step 1/1" in ended.stderr
    run = Checkpoint.open(out)
    assert run.model.name == TINY.name
    assert (run.run.steps, run.run.batch_size, run.run.seed, run.run.evaluate_every) == (1, 1, 3, 1)


def test_stage2_and_predict_from_the_command_line(
    vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path
) -> None:
    policy, look = tmp_path / "policy", tmp_path / "look"
    ended = vptrain(
        "stage2", "--mixture", mixture_file, "--from", stage1_run, "--out", policy, "--steps", 2, "--batch-size", 1,
        "--checkpoint-every", 1, "--num-workers", 0, "--device", "cpu",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert "stage2" in ended.stdout
    assert Checkpoint.open(policy).model == MICRO
    ended = vptrain(
        "predict", policy, "--mixture", mixture_file, "--out", look, "--videos", 1, "--windows", 2, "--steps", 1,
        "--guidance", 2, "--device", "cpu",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    for text in ("video PSNR, dB", "action error", "the mean action"):
        assert text in ended.stdout
    result = json.loads((look / "predictions.json").read_text())
    assert from_dict(SamplingConfig, result["sampling"]) == replace(MICRO.sampling, num_steps=1, guidance=2.0)
    assert result["step"] == 2
    again = vptrain("predict", policy, "--mixture", mixture_file, "--out", look)
    assert "the folder is not empty" in again.message


def test_joint_from_the_command_line(vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    both = tmp_path / "joint"
    ended = vptrain(
        "joint", "--mixture", mixture_file, "--from", stage1_run, "--out", both, "--steps", 2, "--batch-size", 1,
        "--checkpoint-every", 1, "--num-workers", 0, "--device", "cpu", "--set", "gradient_stop=reference",
        "--set", "drop=frame", "--set", "padding=zero", "--json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["stage"] == "joint"
    assert "are trained further" not in ended.stderr
    run = Checkpoint.open(both).run
    assert (run.stage, run.gradient_stop, run.drop, run.padding) == ("joint", "reference", "frame", "zero")
    ended = vptrain(
        "predict", both, "--mixture", mixture_file, "--out", tmp_path / "look", "--videos", 1, "--windows", 1,
        "--steps", 2, "--video-steps", 1, "--device", "cpu", "--json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["actions"]["num_windows"] == 1


def test_joint_from_no_run(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    ended = vptrain(
        "joint", "--mixture", mixture_file, "--out", tmp_path / "run", "--pretrained", "random", "--steps", 1,
        "--batch-size", 1, "--num-workers", 0, "--device", "cpu", "--set-model", "cameras=wrist,left",
        "--set-model", "num_frames=2", "--set", "evaluate_every=1",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert Checkpoint.open(tmp_path / "run").model.cameras == ("wrist", "left")


@pytest.mark.parametrize("verb", ["stage2", "joint"])
def test_beginning_with_a_trained_head_is_said(
    vptrain: Vptrain, mixture_file: Path, stage2_run: Path, tmp_path: Path, verb: str
) -> None:
    ended = vptrain(
        verb, "--mixture", mixture_file, "--from", stage2_run, "--out", tmp_path / "run", "--steps", 1,
        "--batch-size", 1, "--num-workers", 0, "--device", "cpu", "--set", "evaluate_every=1",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    said = f"{Checkpoint.open(stage2_run).path} is of stage2: its vision encoder and action head are trained further."
    assert said in ended.stderr


def test_predict_prints_json(vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    ended = vptrain(
        "predict", stage1_run, "--mixture", mixture_file, "--out", tmp_path / "look", "--videos", 1, "--steps", 1,
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout) == json.loads((tmp_path / "look" / "predictions.json").read_text())


def test_an_interrupted_run_goes_on_from_the_command_line(
    vptrain: Vptrain, mixture_file: Path, stage2_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(stage2_run, tmp_path / "run")
    checkpoint = Checkpoint.open(tmp_path / "run").path / "checkpoint.json"
    values = json.loads(checkpoint.read_text())
    values["run"]["steps"] = 4
    checkpoint.write_text(sealed(values))
    ended = vptrain(
        "stage2", "--mixture", mixture_file, "--out", tmp_path / "run", "--resume", "--num-workers", 1, "--json"
    )
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["steps"] == 4
    assert Checkpoint.open(tmp_path / "run").data.position == 4 * STAGE2.batch_size


def test_a_file_is_no_folder(vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for arguments in (
        ("stage1", "--mixture", mixture_file, "--out", file, "--pretrained", "random"),
        ("predict", stage1_run, "--mixture", mixture_file, "--out", file),
        ("convert", file, "--model", "tiny", "--out", file),
    ):
        assert f"{file}: this is not a folder. Choose another --out." in vptrain(*arguments).message
    arguments = (
        "stage1",
        "--mixture",
        mixture_file,
        "--out",
        file / "run",
        "--pretrained",
        "random",
        "--device",
        "cpu",
    )
    assert f"{file / 'run'}: cannot write" in vptrain(*arguments).message
    assert file.read_text() == "mine"


def test_a_setting_does_not_change_the_stage(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    ended = vptrain("stage1", "--mixture", mixture_file, "--out", tmp_path / "run", "--set", "stage=stage2")
    assert "--set does not make stage1 another stage. Begin it with `vptrain stage2`." in ended.message


def test_a_device_that_is_none(vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    given, new = ("--mixture", mixture_file, "--device", "gpu"), tmp_path / "run"
    for arguments in (
        ("stage1", *given, "--out", new),
        ("predict", stage1_run, *given, "--out", new),
        ("check-video", stage1_run, *given),
        ("latents", *given, "--out", new, "--from", stage1_run),
    ):
        assert "there is no device 'gpu'" in vptrain(*arguments).message
    assert not new.exists()


def test_a_damaged_check_counts_as_none(vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(stage1_run, tmp_path / "video")
    (run / "check-video.json").write_text("{")
    ended = vptrain("stage2", "--mixture", mixture_file, "--from", run, "--out", tmp_path / "run", "--require-check")
    assert "its check-video.json is damaged. `vptrain check-video" in ended.message


def test_predictions_that_fail_leave_an_empty_folder(
    vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path
) -> None:
    look = tmp_path / "look"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
    try:
        ended = vptrain(
            "predict", stage1_run, "--mixture", mixture_file, "--out", look, "--videos", 1, "--steps", 1,
            "--device", "cpu",
        )  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert f"{look}: cannot write (File too large)" in ended.message
    assert list(look.iterdir()) == []
