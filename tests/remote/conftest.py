from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from http_server import Server, serving

from vpdata.ingest import IngestOptions, ingest
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset


@pytest.fixture(scope="session")
def published(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data set `robocasa`: several clips in each of several shards."""
    root = tmp_path_factory.mktemp("published")
    options = IngestOptions(clip_starts=12, window_span=8, shard_frames=250)
    ingest("robocasa", [next(recordings.rglob("CloseDrawer"))], root / "robocasa", options, workers=2)
    return root


@pytest.fixture
def local(published: Path) -> Dataset:
    return Dataset.open(published / "robocasa")


@pytest.fixture
def server(published: Path) -> Iterator[Server]:
    with serving(published) as running:
        yield running


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, that of every process which a test starts."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VPDATA_CACHE", str(folder))
    monkeypatch.setenv("VPDATA_CACHE_LIMIT", "1G")
    return folder


@pytest.fixture
def mixture_file(server: Server, tmp_path: Path) -> Path:
    """A mixture of the served data set, made over the network."""
    file = tmp_path / "mix.toml"
    remote = Dataset.open(f"{server.url}/robocasa")
    make_mixture({"robocasa": remote}, file=file, action_free=Fraction(0), seed=3).spec.write(file)
    return file
