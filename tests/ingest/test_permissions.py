"""Recordings that may not be read and folders that may not be written, for real: as a user without rights."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vpdata.errors import SourceError, VpdataError
from vpdata.ingest import IngestOptions, execute, make_plan

NOBODY = 65534
OPTIONS = IngestOptions()


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may do everything, so its rights are laid down meanwhile."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody may enter and read."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "name"), [("robocasa", "a.hdf5"), ("libero", "a.hdf5"), ("teleop", "a.h5"), ("video", "a.mp4")]
)
def test_a_recording_that_may_not_be_read(source: str, name: str, recordings: Path, open_folder: Path) -> None:
    make_plan("video", [recordings / "video" / "libero_object_soup_000.mp4"], OPTIONS)  # imports what is needed
    file = open_folder / name
    file.write_bytes(b"secret")
    file.chmod(0)
    with without_rights(), pytest.raises(SourceError, match="Permission denied") as caught:
        make_plan(source, [file], OPTIONS)
    assert str(file) in str(caught.value)


def test_a_folder_that_may_not_be_written(recordings: Path, open_folder: Path) -> None:
    plan = make_plan("video", [recordings / "video" / "libero_object_soup_single_frame.mp4"], OPTIONS)
    out = open_folder / "out"
    for place in (out, out / "deeper" / "still"):
        open_folder.chmod(0o555)
        with without_rights(), pytest.raises(VpdataError, match=r"cannot write \(Permission denied\)") as caught:
            execute(plan, place, workers=1)
        open_folder.chmod(0o755)
        assert str(place) in str(caught.value)
        assert not out.exists()


def test_an_out_below_a_file(recordings: Path, tmp_path: Path) -> None:
    plan = make_plan("video", [recordings / "video" / "libero_object_soup_single_frame.mp4"], OPTIONS)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(VpdataError, match=r"cannot write \(Not a directory\)"):
        execute(plan, tmp_path / "file" / "out", workers=1)
