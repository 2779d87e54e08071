"""Measurements of real and of made frames, and their file."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.curation import planted
from vpdata.curation.duplicates import PERIOD_SECONDS
from vpdata.curation.measure import hashed_frames, measure
from vpdata.curation.measurements import Measurements, is_measured
from vpdata.curation.phash import phash
from vpdata.curation.watch import Watch
from vpdata.errors import SourceError, VpdataError


def equal(a: Measurements, b: Measurements) -> bool:
    arrays = all(np.array_equal(a.columns[name], b.columns[name]) for name in Measurements.COLUMNS)
    others = (a.height, a.width, a.fps, a.hashes, a.thumbnails) == (b.height, b.width, b.fps, b.hashes, b.thumbnails)
    return arrays and others and np.array_equal(a.seconds, b.seconds)


@pytest.mark.parametrize(
    ("pattern", "num_frames", "height", "width"),
    [("*rotated90*", 129, 320, 240), ("*vfr*", 139, 128, 128), ("*95x127*", 136, 127, 95), ("*single*", 1, 128, 128)],
)
def test_of_real_videos(
    recordings: Path, tmp_path: Path, pattern: str, num_frames: int, height: int, width: int
) -> None:
    (path,) = (recordings / "video").glob(pattern)
    measured = measure(path)
    assert (len(measured), measured.height, measured.width) == (num_frames, height, width)
    assert all(len(column) == num_frames for column in measured.columns.values())
    assert np.all(np.diff(measured.boundaries) > 0)
    assert set(measured.hashes) == set(hashed_frames(measured.seconds, end_seconds=measured.boundaries[-1]).tolist())
    assert set(sorted(measured.hashes)[::4]) <= {thumbnail.frame for thumbnail in measured.thumbnails}
    measured.write(tmp_path / "a.parquet")
    assert equal(Measurements.read(tmp_path / "a.parquet"), measured)
    measure(path).write(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_broken_video_is_an_error(recordings: Path) -> None:
    with pytest.raises(SourceError, match="frame 23 of 129"):
        measure(recordings / "video_broken" / "broken_bitflips.mp4")


def test_what_each_column_means(recordings: Path) -> None:
    (path,) = (recordings / "video").glob("libero_object_soup_000*")
    frames = planted.read(path)[:, :96, :128]
    black, half = np.zeros_like(frames[0]), np.zeros_like(frames[0])
    half[:48] = 200
    watch = Watch(hashed=frozenset({1}))
    for frame in (black, half, frames[5], frames[5], np.clip(frames[5].astype(np.int16) + 7, 0, 255).astype(np.uint8)):
        watch.see(frame)
    columns = watch.columns
    assert columns["luma_mean"][:2] == [0, 100]
    assert (columns["luma_min"][1], columns["luma_max"][1]) == (0, 200)
    assert columns["black_share"][:2] == [1, 0.5]
    assert (columns["content"][1], columns["motion"][1], columns["peak_motion"][1]) == (100, 100, 200)
    assert (columns["content"][3], columns["motion"][3], columns["peak_motion"][3]) == (0, 0, 0)
    assert columns["motion"][4] == pytest.approx(7, abs=0.2)
    assert columns["sharpness"][0] == 0
    grey = cv2.cvtColor(frames[5], cv2.COLOR_RGB2GRAY)
    assert columns["sharpness"][2] == pytest.approx(cv2.Laplacian(grey, cv2.CV_64F).var())
    assert watch.hashes == {1: phash(half[..., 0])}
    assert [thumbnail.frame for thumbnail in watch.thumbnails] == [1, 2]  # hashed; other than the one before


def test_the_frames_that_are_hashed() -> None:
    seconds = np.arange(45) / 20
    assert hashed_frames(seconds, end_seconds=2.25).tolist() == [0, 10, 20, 30, 40]
    assert hashed_frames(np.array([0.0, 0.9, 1.1]), end_seconds=1.4).tolist() == [0, 1, 1]
    assert PERIOD_SECONDS == 0.5


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    assert not is_measured(path)
    path.write_bytes(b"PAR1 and no more")
    for read in (is_measured, Measurements.read):
        with pytest.raises(VpdataError, match="damaged"):
            read(path)
