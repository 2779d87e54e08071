"""A licensed data set on a loopback Hub, mixtures of it, and runs on them."""

from pathlib import Path

import pytest
from kitchens import STAGE1, STAGE2, write_mixture
from micro import train_stage1, train_stage2

from tests.hub.relabelled import with_attributes
from vpdata.hub import commits
from vpdata.ingest import IngestOptions, ingest


@pytest.fixture(scope="session")
def unlicensed(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RoboCasa, whose episodes say nothing of a licence. To be read only, as the next ones."""
    folder = tmp_path_factory.mktemp("unlicensed") / "kitchen"
    ingest("robocasa", [recordings / "robocasa"], folder, IngestOptions(clip_starts=40, window_span=32), workers=2)
    return folder


@pytest.fixture(scope="session")
def kitchen(unlicensed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under a licence."""
    return with_attributes(unlicensed, tmp_path_factory.mktemp("hub") / "kitchen", licence="CC BY 4.0").path


@pytest.fixture(scope="session")
def local_mixture(kitchen: Path) -> Path:
    """A mixture of the folder."""
    return write_mixture(str(kitchen), kitchen.parent / "mix.toml")


@pytest.fixture(scope="session")
def video_run(local_mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of stage 1, with a checkpoint each."""
    return train_stage1(local_mixture, tmp_path_factory.mktemp("runs") / "video", STAGE1)


@pytest.fixture(scope="session")
def policy_run(local_mixture: Path, video_run: Path) -> Path:
    """Two steps of stage 2 on top of it."""
    return train_stage2(local_mixture, video_run.parent / "policy", video_run, STAGE2)


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and no long waits."""
    monkeypatch.setenv("VPDATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(commits, "FIRST_WAIT_SECONDS", 0.01)
