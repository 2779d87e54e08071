"""Footage with known faults, its curation, and a data set of what was kept."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.curation.planted import ENCODERS, scenes, with_faults
from vpdata.curation.curate import curate
from vpdata.curation.record import read_curation
from vpdata.curation.thresholds import Thresholds
from vpdata.ingest import IngestOptions, execute, make_plan


@dataclass(frozen=True)
class CuratedSet:
    """Folders: the videos, what curation says about them, and the data set made from both."""

    videos: Path
    curation: Path
    dataset: Path


@pytest.fixture(scope="session")
def curated_set(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> CuratedSet:
    root = tmp_path_factory.mktemp("curated")
    made = CuratedSet(videos=root / "videos", curation=root / "curation", dataset=root / "dataset")
    made.videos.mkdir()
    with_faults(scenes(recordings), random.Random(0)).write(made.videos / "reel <0>.mp4", ENCODERS[0])
    (made.videos / "broken.mp4").write_bytes(b"no video" * 100)
    curate([made.videos], made.curation, Thresholds(), workers=1)
    options = IngestOptions(clip_starts=40, window_span=32)
    execute(make_plan("video", [made.videos], options, curation=read_curation(made.curation)), made.dataset, workers=1)
    return made
