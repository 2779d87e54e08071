"""A licensed data set on a loopback Hub, mixtures of it, and runs on them."""

from pathlib import Path

import pytest
from kitchens import STAGE1, STAGE2, write_mixture
from micro import MICRO, silent

from vpdata.hub import commits
from vpdata.ingest import IngestOptions, ingest
from vpdata.sets.labels import Labels
from vpdata.sets.operations import relabel
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset
from vptrain.training.start import start_stage1, start_stage2


@pytest.fixture(scope="session")
def unlicensed(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RoboCasa, whose episodes say nothing of a licence. To be read only, as the next ones."""
    folder = tmp_path_factory.mktemp("unlicensed") / "kitchen"
    ingest("robocasa", [recordings / "robocasa"], folder, IngestOptions(clip_starts=40, window_span=32), workers=2)
    return folder


@pytest.fixture(scope="session")
def kitchen(unlicensed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under a licence."""
    folder = tmp_path_factory.mktemp("hub") / "kitchen"
    write(relabel(Dataset.open(unlicensed), Labels(attributes={"licence": "CC BY 4.0"})), folder)
    return folder


@pytest.fixture(scope="session")
def local_mixture(kitchen: Path) -> Path:
    """A mixture of the folder."""
    return write_mixture(str(kitchen), kitchen.parent / "mix.toml")


@pytest.fixture(scope="session")
def video_run(local_mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of stage 1, with a checkpoint each."""
    folder = tmp_path_factory.mktemp("runs") / "video"
    start_stage1(local_mixture, folder, model=MICRO, run=STAGE1, device="cpu").train(silent)
    return folder


@pytest.fixture(scope="session")
def policy_run(local_mixture: Path, video_run: Path) -> Path:
    """Two steps of stage 2 on top of it."""
    folder = video_run.parent / "policy"
    start_stage2(local_mixture, folder, stage1=video_run, run=STAGE2, device="cpu").train(silent)
    return folder


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and no long waits."""
    monkeypatch.setenv("VPDATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(commits, "FIRST_WAIT_SECONDS", 0.01)
