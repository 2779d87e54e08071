"""Fixtures for all tests: the small real recordings, and data sets made from them by a real ingest."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from vpdata.ingest import IngestOptions, ingest

# The same examples on every run, so that a failure is of the change at hand; --hypothesis-profile=default tries others.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of small real recordings."""
    return Path(__file__).parent / "recordings"


@pytest.fixture(scope="session")
def datasets(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Data set folders by name; clips are short, so that most episodes have several. To be read only."""
    root = tmp_path_factory.mktemp("datasets")
    folders = {"robocasa": "robocasa", "libero": "libero", "teleop": "aloha", "video": "video"}
    for source, folder in folders.items():
        ingest(source, [recordings / folder], root / source, IngestOptions(clip_starts=40, window_span=32), workers=2)
    return {source: root / source for source in folders}
