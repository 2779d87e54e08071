"""Fixtures for all tests: the small real recordings, and data sets made from them by a real ingest."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.hub.server import Hub, serving
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


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """An empty Hugging Face Hub on loopback, for the Hub's clients of this process and of those that it starts."""
    from huggingface_hub import constants

    with serving() as running:
        home = tmp_path / "hf_home"
        environment = {
            "HF_ENDPOINT": running.url,
            "HF_TOKEN": running.token,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", running.url)  # read from the environment when first imported
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield running
