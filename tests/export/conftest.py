"""Small data sets to export, beside those of all tests. All are to be read only."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from vpdata.clips.encode import ClipOptions
from vpdata.ingest import IngestOptions, ingest
from vpdata.sets import operations
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions


@pytest.fixture(scope="session")
def kitchen(datasets: Mapping[str, Path]) -> Dataset:
    """Four RoboCasa episodes of three cameras at 128x128, in clips of 40 window starts."""
    return Dataset.open(datasets["robocasa"])


@pytest.fixture(scope="session")
def small(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three LIBERO episodes of two cameras at 64x64, whose last frames have no action."""
    out = tmp_path_factory.mktemp("small") / "small"
    query = "height == 64 and (episode_id == 'demo_0' or episode_id == 'demo_1' and task.str.contains('soup'))"
    write(operations.keep(Dataset.open(datasets["libero"]), query), out)
    return Dataset.open(out)


@pytest.fixture(scope="session")
def footage(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two action-free videos at 20 frames a second and 48x65, one of them a single frame."""
    out = tmp_path_factory.mktemp("footage") / "footage"
    options = IngestOptions(
        source=SourceOptions(fps=20), clip=ClipOptions(height=48, width=65), clip_starts=40, window_span=32
    )
    names = ("libero_spatial_bowl_003_hevc.mp4", "libero_object_soup_single_frame.mp4")
    ingest("video", [recordings / "video" / name for name in names], out, options, workers=2)
    return Dataset.open(out)
