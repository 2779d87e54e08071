"""A run on a data set of the Hub is the run on the same data set here, bit for bit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from kitchens import DATA, STAGE1
from micro import MICRO, silent
from typer.testing import CliRunner

from tests.hub.server import Hub
from vpdata.cli.app import app as vpdata_app
from vpdata.hub.publish import publish
from vpdata.mixture.mixture import Mixture
from vpdata.sets.labels import Labels
from vpdata.sets.operations import relabel
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset
from vptrain.checkpoint import Checkpoint
from vptrain.training.start import start_stage1

URL = f"hf://datasets/{DATA}"


@pytest.fixture
def remote_mixture(hub: Hub, kitchen: Path, tmp_path: Path) -> Path:
    """Made by the command from the branch's name, before the branch moved on to other labels."""
    publish(Dataset.open(kitchen), DATA)
    commit = hub.head(DATA)
    hub.requests.clear()
    file = tmp_path / "remote" / "mix.toml"
    made = CliRunner().invoke(vpdata_app, ["mix", URL, "--holdout", "0", "--out", str(file)])
    assert made.exit_code == 0, made.output
    assert f'path = "{URL}@{commit}"' in file.read_text()
    assert len(hub.asked("GET", "^/api/")) == 1
    write(relabel(Dataset.open(kitchen), Labels(instructions=("shut it",))), tmp_path / "other")
    publish(Dataset.open(tmp_path / "other"), DATA)
    assert hub.head(DATA) != commit
    return file


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_same_weights(
    hub: Hub, remote_mixture: Path, local_mixture: Path, video_run: Path, num_workers: int, tmp_path: Path
) -> None:
    assert Mixture.open(remote_mixture).digest == Mixture.open(local_mixture).digest
    shutil.rmtree(tmp_path / "cache")
    hub.requests.clear()
    run = replace(STAGE1, num_workers=num_workers)
    start_stage1(remote_mixture, tmp_path / "run", model=MICRO, run=run, device="cpu").train(silent)
    here, there = Checkpoint.open(video_run), Checkpoint.open(tmp_path / "run")
    assert there.files == here.files  # the SHA-256 of the weights and of the optimizer's state
    assert losses(tmp_path / "run") == losses(video_run)
    shards = hub.asked("GET", r"/resolve/.*\.tar")
    assert shards
    assert all(f"/resolve/{hub.history(DATA)[-2].oid}/" in request.path for request in shards)


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
