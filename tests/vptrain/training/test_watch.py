"""What a run says of itself: trackers, memory, held-out losses by noise level, divergence."""

import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from micro import MICRO, STAGE1, STAGE2, silent
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vpdata.loader.window import Window
from vptrain.batch import make_batches
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.training.engine import Engine
from vptrain.training.evaluation import HeldOutLoss, levels, sigma_at
from vptrain.training.learner import Learner
from vptrain.training.metrics import flattened, read_metrics
from vptrain.training.start import resume, start_stage1
from vptrain.training.trackers import open_trackers
from vptrain.training.trainer import Progress
from vptrain.training.watch import HISTORY, PATIENCE, Divergence, Watch, peak_memory


def events(folder: Path) -> EventAccumulator:
    """All that TensorBoard would show."""
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


def logged(folder: Path) -> dict[tuple[str, int], float]:
    """The numbers of metrics.jsonl by name and step."""
    lines = read_metrics(folder / "metrics.jsonl")
    return {
        (name, line["step"]): value
        for line in lines
        for name, value in flattened({key: value for key, value in line.items() if key != "step"}).items()
    }


def test_tensorboard_gets_every_number_once_over_a_resume(mixture_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = replace(
        STAGE1, steps=3, batch_size=1, checkpoint_every=2, evaluate_every=3, sample_every=3, trackers=("tensorboard",)
    )

    def end_after_the_third(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    interrupted = replace(run, steps=9, checkpoint_every=2)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="LPIPS is not computed"):
        start_stage1(mixture_file, folder, model=MICRO, run=interrupted, device="cpu").train(end_after_the_third)
    assert ("held_out_loss", 3) in logged(folder)
    trainer = resume(mixture_file, folder, stage="stage1", device="cpu")
    trainer.run = replace(trainer.run, steps=3)
    said: list[str] = []
    trainer.train(silent, say=said.append)
    assert len(said) == 2
    shown = events(folder)
    numbers = {(name, event.step): event.value for name in shown.Tags()["scalars"] for event in shown.Scalars(name)}
    assert sum(len(shown.Scalars(name)) for name in shown.Tags()["scalars"]) == len(numbers)
    assert numbers == pytest.approx(logged(folder), rel=1e-6)
    assert {"loss", "memory_gb", "held_out_loss", "samples/psnr"} <= {name for name, _ in numbers}
    (picture,) = shown.Images("samples")
    assert picture.step == 3
    assert [path.name for path in (folder / "samples").iterdir()] == ["step-00000003.mp4"]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(VptrainError, match=rf"needs the package {name} .*pip install 'vpdata\[{name}\]'"):
        open_trackers(tmp_path, replace(STAGE1, trackers=(name,)), step=0, sent=0)


def test_weights_and_biases_goes_on_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = replace(STAGE1, trackers=("wandb",))
    for resumed_at in (0, 10):
        with Watch(tmp_path, run, step=resumed_at, writes=True) as watch:
            for step in range(resumed_at + 10, 40 if resumed_at else 30, 10):
                watch.append(step=step, loss=1 / step)
            watch.show("samples", np.zeros((8, 8, 3), np.uint8), step=30 if resumed_at else 20)
    history: list[int] = []
    identities = set()
    for file in sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime):
        for data in records_of(file):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "run":
                identities.add(record.run.run_id)
            if record.WhichOneof("record_type") == "history":
                history.append(record.history.step.num)
    assert len(identities) == 1
    assert sorted(history) == sorted(set(history)) == [10, 20, 30]


def records_of(file: Path) -> Iterator[bytes]:
    """The records of a file of Weights & Biases, which is a LevelDB log behind seven bytes of its own."""
    data, place, record = file.read_bytes(), 7, b""
    while place < len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768  # no header fits into what is left of the block
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def test_trackio_gets_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio", reason="the extra `trackio` is not installed")
    from trackio.sqlite_storage import SQLiteStorage

    run = replace(STAGE1, trackers=("trackio",))
    for resumed_at, last in ((0, 20), (10, 30)):
        with Watch(tmp_path, run, step=resumed_at, writes=True) as watch:
            for step in range(resumed_at + 10, last + 10, 10):
                watch.append(step=step, loss=1 / step)
    (name,) = SQLiteStorage.get_runs("vptrain")
    assert [line["step"] for line in SQLiteStorage.get_logs("vptrain", name)] == [10, 20, 30]


def test_another_process_writes_nothing(tmp_path: Path) -> None:
    with Watch(tmp_path, replace(STAGE1, trackers=("tensorboard",)), step=0, writes=False) as watch:
        watch.append(step=1, loss=0.5)
        assert watch.seconds == 0
    assert not list(tmp_path.iterdir())


def test_memory_grows_with_what_is_held() -> None:
    before = peak_memory(torch.device("cpu"))
    held = np.ones(40_000_000)
    after = peak_memory(torch.device("cpu"))
    assert set(before) == {"memory_gb"}
    assert 0 < before["memory_gb"] <= after["memory_gb"]
    assert after["memory_gb"] >= held.nbytes / 1e9


def stops_at(factor: float | None, losses: Sequence[float]) -> int | None:
    divergence = Divergence(factor)
    return next((i for i, loss in enumerate(losses) if divergence.note(loss)), None)


def test_a_loss_that_runs_away_is_noticed() -> None:
    calm = [1.0, 1.2] * (HISTORY // 2)
    assert stops_at(10, calm + [12.5] * 50) == HISTORY + PATIENCE - 1
    assert stops_at(None, calm + [1e9] * 50) is None
    assert stops_at(10, calm + [10.5] * 50) is None
    assert stops_at(10, calm + ([100.0] * (PATIENCE - 1) + [1.0]) * 4) is None
    assert stops_at(10, calm[:-1] + [1e3] * 50) == HISTORY + PATIENCE - 1  # the first of them fills the history
    assert stops_at(10, [1e3 * i for i in range(50)]) is None


def test_a_factor_must_be_above_one() -> None:
    with pytest.raises(VptrainError, match=r"diverge_factor 1\.0 is not above 1"):
        replace(STAGE1, diverge_factor=1.0)
    with pytest.raises(VptrainError, match="sample_every 0 is less than 1"):
        replace(STAGE1, sample_every=0)


def test_the_levels_are_the_quantiles_of_training() -> None:
    rng = np.random.default_rng(0)
    drawn = np.exp(STAGE1.log_sigma_mean + STAGE1.log_sigma_std * rng.standard_normal(200_000))
    sigmas = [sigma_at(level, STAGE1) for level in levels()]
    assert sigmas == pytest.approx(np.quantile(drawn, [0.1, 0.3, 0.5, 0.7, 0.9]), rel=0.03)
    high = replace(STAGE2, high_log_sigma_mean=6.0)
    assert [sigma_at(level, high) for level in levels()] == sigmas  # which the actions' sigma still has
    assert sigma_at(0.0, replace(high, stage="joint")) == pytest.approx(np.exp(6.0))


@pytest.mark.parametrize(("stage", "high"), [("stage1", None), ("stage2", 3.0)])
def test_held_out_losses_are_those_at_their_noise_level(
    labelled_windows: list[Window], text: CachedText, normalizer: ActionNormalizer, stage: Any, high: float | None
) -> None:
    batches = make_batches(labelled_windows[:1], normalizer=normalizer, image_size=MICRO.image_size)

    def losses(run: RunConfig) -> HeldOutLoss:
        policy = initial_policy(MICRO, seed=0)
        return Learner.make(policy, run=run, engine=Engine.start(run, device="cpu"), text=text).evaluate(batches)

    run = replace(STAGE1, stage=stage, batch_size=1, high_log_sigma_mean=high, high_log_sigma_std=0.0)
    measured = losses(run)
    assert list(measured.by_sigma) == ["0.35", "1.17", "2.72", "6.29", "21.1"]
    assert measured.mean == pytest.approx(np.mean(list(measured.by_sigma.values())))
    assert len(set(measured.by_sigma.values())) == 5
    fixed = replace(run, log_sigma_mean=float(np.log(sigma_at(levels()[4], run))), log_sigma_std=0.0)
    assert losses(fixed).by_sigma == pytest.approx({"21.1": measured.by_sigma["21.1"]}, rel=1e-5)
