"""A run over damaged clips goes on, says so, and resumes exactly; one over a stream too short does not begin."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from micro import MICRO, STAGE1, silent

from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
from vptrain.checkpoint import Checkpoint
from vptrain.errors import VptrainError
from vptrain.training.start import resume, start_stage1
from vptrain.training.trainer import LEDGER, Progress

RUN = replace(STAGE1, steps=4, batch_size=2, checkpoint_every=2, evaluate_every=99, num_workers=1)


@pytest.fixture(scope="module")
def damaged(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A mixture file over a data set whose clip of position 1 has a flipped bit; and that clip's key."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(datasets["robocasa"], folder / "robocasa")
    dataset = Dataset.open(folder / "robocasa")
    mixture = make_mixture({"robocasa": dataset}, file=folder / "mix.toml")
    mixture.spec.write(folder / "mix.toml")
    clip = dataset.clips[mixture.locate(1).clip]
    member = next(member for member in clip.members if member.name.startswith("wrist."))
    shard = folder / "robocasa" / clip.shard
    shard.chmod(0o644)
    data = bytearray(shard.read_bytes())
    data[member.offset + member.size // 2] ^= 1
    shard.write_bytes(data)
    return folder / "mix.toml", clip.key


def test_a_run_over_a_damaged_clip_goes_on_and_resumes_exactly(damaged: tuple[Path, str], tmp_path: Path) -> None:
    mixture_file, key = damaged
    reported: list[Progress] = []
    start_stage1(mixture_file, tmp_path / "whole", model=MICRO, run=RUN, device="cpu").train(reported.append)
    assert reported[-1].num_corrupt >= 1
    ledger = (tmp_path / "whole" / LEDGER).read_text()
    lines = [json.loads(line) for line in ledger.splitlines()]
    assert lines[0]["position"] == 1
    assert {line["key"] for line in lines} == {key}
    assert len(lines) == reported[-1].num_corrupt

    class Stopped(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise Stopped

    trainer = start_stage1(mixture_file, tmp_path / "resumed", model=MICRO, run=RUN, device="cpu")
    with pytest.raises(Stopped):
        trainer.train(stop)
    resume(mixture_file, tmp_path / "resumed", stage="stage1", device="cpu", changes=["num_workers=0"]).train(silent)
    assert (tmp_path / "resumed" / LEDGER).read_text() == ledger
    ours, theirs = (Checkpoint.open(tmp_path / name).load_policy().state_dict() for name in ("resumed", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_stream_that_is_too_short_is_refused_before_training(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "mix.toml"
    mixture = make_mixture({"robocasa": Dataset.open(datasets["robocasa"])}, file=file, exhaustion="stop")
    mixture.spec.write(file)
    assert mixture.num_positions is not None
    run = replace(STAGE1, batch_size=10, steps=mixture.num_positions // 10 + 1)
    with pytest.raises(VptrainError, match=f"the mixture ends after {mixture.num_positions} windows") as caught:
        start_stage1(file, tmp_path / "run", model=MICRO, run=run, device="cpu").train(silent)
    assert caught.value.path == str(file)
    assert not (tmp_path / "run").exists()
