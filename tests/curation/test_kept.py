"""Copies among the kept spans of raw footage, and what an evaluation set shows already."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.curation import planted
from vpdata.curation.curate import curate
from vpdata.curation.record import CuratedFile
from vpdata.curation.stored import Chosen, stored_recordings
from vpdata.curation.thresholds import Thresholds
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset


@pytest.fixture(scope="module")
def footage(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reel of two scenes, a mirrored copy of a part of the second encoded otherwise, and another take of it."""
    folder = tmp_path_factory.mktemp("footage")
    aloha, _, soup, *_ = planted.scenes(recordings)
    reel = planted.Reel()
    reel.add(aloha[:60])
    reel.add(soup[:140])
    reel.write(folder / "reel.mp4", {"crf": "20"})
    planted.write(folder / "copy.mp4", np.ascontiguousarray(soup[20:120, :, ::-1]), {"crf": "28", "g": "25"})
    (path,) = (recordings / "video").glob("libero_object_soup_003*")
    planted.write(folder / "other.mp4", planted.read(path), {"crf": "20"})
    return folder


def reasons(files: Sequence[CuratedFile]) -> dict[str, list[tuple[str, int, int]]]:
    return {file.file: [(span.reason, span.start, span.stop) for span in file.dropped] for file in files}


def test_the_shorter_of_two_copies_is_dropped(footage: Path, tmp_path: Path) -> None:
    files = curate([footage], tmp_path / "out", Thresholds(), duplicates=True, workers=1).curation.files
    assert reasons(files) == {"copy.mp4": [("duplicate", 0, 100)], "other.mp4": [], "reel.mp4": []}
    (span,) = files[0].dropped
    assert span.detail == "shows reel.mp4 [60, 200)"
    assert span.measured is not None
    assert span.threshold is not None
    assert span.measured >= span.threshold
    assert (tmp_path / "out" / span.thumbnail).is_file()
    again = curate([footage], tmp_path / "out", Thresholds(), workers=1)
    assert again.num_measured == 0
    assert all(not found for found in reasons(again.curation.files).values())


def test_what_an_evaluation_set_shows_is_dropped(
    footage: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPDATA_CACHE", str(tmp_path / "cache"))
    (path,) = (recordings / "video").glob("libero_object_soup_000*")
    ingest("video", [path], tmp_path / "exam", IngestOptions(), workers=1)
    against = stored_recordings([Chosen(name="exam", dataset=Dataset.open(tmp_path / "exam"))])
    curation = curate([footage], tmp_path / "out", Thresholds(), against=against, workers=1).curation
    files = curation.files
    assert curation.against == (Dataset.open(tmp_path / "exam").digest,)
    assert reasons(files) == {
        "copy.mp4": [("leak", 0, 100)],
        "other.mp4": [],
        "reel.mp4": [("leak", 60, 200)],
    }
    assert [(span.start, span.stop) for span in files[2].kept] == [(0, 60)]
