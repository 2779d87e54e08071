import shutil
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from micro import MICRO, STAGE1, STAGE2

from vpdata.errors import MixtureError
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vptrain.checkpoint import Checkpoint
from vptrain.errors import VptrainError
from vptrain.training.start import resume, start_stage1, start_stage2


def write_mixture(
    file: Path,
    datasets: Mapping[str, Path],
    *names: str,
    seed: int = 0,
    withhold: Mapping[str, list[str]] | None = None,
) -> Path:
    pool = {name: Dataset.open(datasets[name]) for name in names}
    make_mixture(pool, file=file, seed=seed, withhold=withhold, holdout=Fraction(1, 10)).spec.write(file)
    return file


def test_another_mixture_is_refused(stage1_run: Path, datasets: Mapping[str, Path], tmp_path: Path) -> None:
    other = write_mixture(
        tmp_path / "other.toml", datasets, "robocasa", "teleop", "video", seed=1, withhold={"teleop": ["*"]}
    )
    with pytest.raises(VptrainError, match="the mixture is another one than this run was trained on") as caught:
        resume(other, stage1_run, stage="stage1", device="cpu")
    assert caught.value.path == str(other)
    assert caught.value.hint is not None


def test_another_mixture_is_taken_if_named(stage1_run: Path, datasets: Mapping[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(stage1_run, run)
    other = write_mixture(tmp_path / "other.toml", datasets, "robocasa", "video", seed=1)
    trainer = resume(other, run, stage="stage1", device="cpu", allow_changed_data=True)
    assert trainer.normalizer == Checkpoint.open(run).normalizer
    trainer.run = replace(trainer.run, steps=4)
    trainer.train(lambda _: None)
    saved = Checkpoint.open(run)
    assert (saved.step, saved.data.digest) == (4, Mixture.open(other).digest)
    resume(other, run, stage="stage1", device="cpu")  # from now on these are its data


def test_changed_data_sets_are_taken_if_named(
    stage2_run: Path, mixture_file: Path, datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    text = mixture_file.read_text()
    for digest in {dataset.digest for dataset in map(Dataset.open, datasets.values())}:
        text = text.replace(digest, "0" * len(digest))
    changed = mixture_file.with_name("changed.toml")
    changed.write_text(text)
    arguments = {"stage": "stage2", "device": "cpu"}
    with pytest.raises(MixtureError, match="has changed") as caught:
        resume(changed, stage2_run, **arguments)
    assert "--allow-changed-data" in str(caught.value.hint)
    assert resume(changed, stage2_run, **arguments, allow_changed_data=True).step == STAGE2.steps
    assert start_stage1(changed, tmp_path / "new", model=MICRO, run=STAGE1, device="cpu", allow_changed_data=True)


def test_the_same_mixture_elsewhere_is_not(stage1_run: Path, datasets: Mapping[str, Path], tmp_path: Path) -> None:
    moved = write_mixture(
        tmp_path / "deep" / "moved.toml", datasets, "robocasa", "teleop", "video", withhold={"teleop": ["*"]}
    )
    trainer = resume(moved, stage1_run, stage="stage1", device="cpu")
    assert (trainer.step, trainer.mixture_file) == (3, str(moved))


def test_a_truncated_checkpoint_is_refused(stage1_run: Path, mixture_file: Path, tmp_path: Path) -> None:
    shutil.copytree(stage1_run, tmp_path / "run")
    weights = Checkpoint.open(tmp_path / "run").path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(VptrainError, match="safetensors is missing or damaged"):
        resume(mixture_file, tmp_path / "run", stage="stage1", device="cpu")


def test_a_run_of_another_stage_is_refused(stage1_run: Path, mixture_file: Path) -> None:
    with pytest.raises(VptrainError, match="this is a run of stage1, not of stage2"):
        resume(mixture_file, stage1_run, stage="stage2", device="cpu")


def test_a_resumed_run_keeps_its_configuration(stage2_run: Path, mixture_file: Path) -> None:
    trainer = resume(mixture_file, stage2_run, stage="stage2", device="cpu", changes=["num_workers=3"])
    assert trainer.run == replace(STAGE2, num_workers=3)
    assert trainer.normalizer == Checkpoint.open(stage2_run).normalizer
    assert {p.source for p in trainer.mixture.training_clips()} == {"robocasa"}
    with pytest.raises(VptrainError, match="a resumed run keeps its learning_rate") as caught:
        resume(mixture_file, stage2_run, stage="stage2", device="cpu", changes=["learning_rate=1"])
    assert "num_workers" in str(caught.value.hint)


def test_a_run_is_never_overwritten(stage1_run: Path, mixture_file: Path) -> None:
    for start in (
        lambda: start_stage1(mixture_file, stage1_run, model=MICRO, run=STAGE1, device="cpu"),
        lambda: start_stage2(mixture_file, stage1_run, stage1=stage1_run, run=STAGE2, device="cpu"),
    ):
        with pytest.raises(VptrainError, match="--resume"):
            start()


def test_a_run_without_a_checkpoint_can_only_be_removed(mixture_file: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(VptrainError, match="before its first checkpoint") as caught:
        start_stage1(mixture_file, tmp_path, model=MICRO, run=STAGE1, device="cpu")
    assert caught.value.hint is not None
    assert "Remove the folder" in caught.value.hint


def test_actions_of_another_robot_are_refused_before_training(
    stage1_run: Path, datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    mixed = write_mixture(tmp_path / "mix.toml", datasets, "robocasa", "teleop")
    with pytest.raises(VptrainError, match="--withhold teleop"):
        start_stage2(mixed, tmp_path / "run", stage1=stage1_run, run=STAGE2, device="cpu")
    assert not (tmp_path / "run").exists()


def test_cameras_that_the_model_lacks_are_refused_before_training(
    stage1_run: Path, datasets: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint.open(stage1_run)
    seeing = replace(checkpoint, model=replace(MICRO, cameras=("front",)))
    monkeypatch.setattr(Checkpoint, "open", lambda _: seeing)
    mixed = write_mixture(tmp_path / "mix.toml", datasets, "robocasa")
    with pytest.raises(VptrainError, match="none of the model's cameras front") as caught:
        start_stage2(mixed, tmp_path / "run", stage1=stage1_run, run=STAGE2, device="cpu")
    assert "--camera front=NAME" in str(caught.value)


def test_video_alone_trains_stage1_but_not_stage2(
    stage1_run: Path, datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    video = write_mixture(tmp_path / "mix.toml", datasets, "video")
    assert start_stage1(video, tmp_path / "one", model=MICRO, run=STAGE1, device="cpu").normalizer is None
    with pytest.raises(MixtureError, match="no window has actions"):
        start_stage2(video, tmp_path / "two", stage1=stage1_run, run=STAGE2, device="cpu")


def test_stage2_takes_a_run_or_one_of_its_checkpoints(stage1_run: Path, mixture_file: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(stage1_run)
    for start in (stage1_run, checkpoint.path):
        trainer = start_stage2(mixture_file, tmp_path / "run", stage1=start, run=STAGE2, device="cpu")
        assert trainer.policy.config == MICRO
        assert trainer.mixture.digest == Mixture.open(mixture_file).labelled_only().digest
    with pytest.raises(VptrainError, match="neither a checkpoint nor a run"):
        start_stage2(mixture_file, tmp_path / "run", stage1=tmp_path, run=STAGE2, device="cpu")
