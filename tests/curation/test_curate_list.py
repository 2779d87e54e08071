"""`vpdata curate` takes lists of videos, and what it keeps is ingested with the captions of the list."""

import shutil
from pathlib import Path

import pytest

from vpdata.curation.curate import curate
from vpdata.curation.thresholds import Thresholds
from vpdata.errors import SourceError
from vpdata.ingest import IngestOptions, execute, make_plan
from vpdata.shards.dataset import Dataset

SOUP = "libero_object_soup_000.mp4"
SLOW = "libero10_basket_002_5fps.mp4"


def test_a_list_is_curated_and_ingested(recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "cams").mkdir()
    for name in (SOUP, SLOW):
        shutil.copy(recordings / "video" / name, tmp_path / "cams" / name)
    rows = [f"cams/{SOUP},0,2,reach", f"cams/{SOUP},2,5,grasp", f"cams/{SLOW},,,tidy up"]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["path,start,end,caption", *rows]))
    thresholds = Thresholds(short_seconds=0.5, small_pixels=1, frozen_motion=0, static_motion=0, blurry_sharpness=0)
    curation = curate([path], tmp_path / "curation", thresholds, workers=1).curation
    assert [file.file for file in curation.files] == [f"cams/{SOUP}", f"cams/{SLOW}"]
    kept = {file.file: [(span.start, span.stop) for span in file.kept] for file in curation.files}
    assert kept[f"cams/{SOUP}"]

    execute(make_plan("video", [path], IngestOptions(), curation=curation), tmp_path / "out", workers=1)
    found: dict[tuple[str, ...], set[int]] = {}
    for clip in Dataset.open(tmp_path / "out").clips:
        first = int(clip.episode.attributes["video_first_frame"])
        frames = range(first + clip.span.start, first + clip.span.stop)
        found.setdefault(clip.episode.instructions, set()).update(frames)
    soup = {frame for start, stop in kept[f"cams/{SOUP}"] for frame in range(start, stop)}
    assert found[("reach",)] == soup & set(range(40))
    assert found[("grasp",)] == soup & set(range(40, 100))
    assert found[("tidy up",)] == {frame for start, stop in kept[f"cams/{SLOW}"] for frame in range(start, stop)}


def test_what_is_not_curated(recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"path\n{recordings / 'video' / SLOW}\nnowhere.mp4\n")
    with pytest.raises(SourceError, match=r"list.csv: there is no file .*nowhere.mp4"):
        curate([tmp_path / "list.csv"], tmp_path / "out", Thresholds())
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    with pytest.raises(SourceError, match=r"a.tar: videos inside a tar or table are not files. Unpack them"):
        curate([tmp_path / "a.tar"], tmp_path / "out", Thresholds())
