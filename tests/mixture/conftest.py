"""Open data sets for all mixture tests; to be read only."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from vpdata.clips.encode import ClipOptions
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset


@pytest.fixture(scope="session")
def robocasa(datasets: Mapping[str, Path]) -> Dataset:
    """Two tasks with actions."""
    return Dataset.open(datasets["robocasa"])


@pytest.fixture(scope="session")
def libero(datasets: Mapping[str, Path]) -> Dataset:
    """With actions."""
    return Dataset.open(datasets["libero"])


@pytest.fixture(scope="session")
def video(datasets: Mapping[str, Path]) -> Dataset:
    """Without actions or tasks."""
    return Dataset.open(datasets["video"])


@pytest.fixture(scope="session")
def both(robocasa: Dataset, video: Dataset) -> dict[str, Dataset]:
    """One with actions and one without."""
    return {"robocasa": robocasa, "video": video}


@pytest.fixture(scope="session")
def sharded(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set of many small shards."""
    folder = tmp_path_factory.mktemp("sharded") / "robocasa"
    options = IngestOptions(clip=ClipOptions(codec="jpeg"), clip_starts=40, window_span=8, shard_frames=250)
    ingest("robocasa", [recordings / "robocasa"], folder, options, workers=2)
    return Dataset.open(folder)
