"""Rows of images in every way that a writer may store them, against what h5py reads."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from vpdata.errors import SourceError
from vpdata.sources import hdf5_rows
from vpdata.sources.hdf5_rows import Rows

LAYOUTS: dict[str, dict[str, Any]] = {
    "in one piece": {},
    "as h5py chooses": {"compression": "gzip"},
    "one colour a chunk": {"chunks": (7, 16, 32, 1), "compression": "gzip"},
    "chunks over the edges": {"chunks": (7, 15, 31, 2), "compression": "gzip"},
    "whole columns": {"chunks": (50, 8, 64, 3), "compression": "gzip", "compression_opts": 9},
    "one frame a chunk": {"chunks": (1, 48, 64, 3), "compression": "gzip"},
    "shuffled": {"chunks": (7, 16, 32, 1), "compression": "gzip", "shuffle": True},
    "with checksums": {"chunks": (7, 16, 32, 1), "compression": "gzip", "fletcher32": True},
    "lzf": {"chunks": (7, 16, 32, 3), "compression": "lzf"},
    "chunks as they are": {"chunks": (7, 16, 32, 3)},
}
WHERE: dict[str, Any] = {"path": Path("demos.hdf5"), "episode": "demo_0, camera left"}


@pytest.fixture(scope="module")
def images(recordings: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Recorded frames, neither as many nor as large as chunks would like."""
    path = next((recordings / "robocasa").rglob("OpenDrawer/*.hdf5"))
    with h5py.File(path) as file:
        found: np.ndarray[Any, np.dtype[np.uint8]] = file["data/demo_2/obs/robot0_agentview_left_image"][
            :50, 20:68, :64
        ]
        return found


def stored(images: np.ndarray[Any, Any], layout: dict[str, Any], path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **layout)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("is_inflated_by_h5py", [False, True])
def test_rows_are_those_of_h5py(
    layout: str,
    is_inflated_by_h5py: bool,
    images: np.ndarray[Any, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if is_inflated_by_h5py:
        monkeypatch.setattr(hdf5_rows, "MAX_SLAB_BYTES", 100)
    with h5py.File(stored(images, LAYOUTS[layout], tmp_path / "a.hdf5")) as file:
        rows = Rows(file["images"], **WHERE)
        for start, stop in ((0, 50), (0, 1), (3, 20), (12, 34), (33, 50), (49, 50), (20, 20)):
            found = list(rows.read(start, stop))
            assert len(found) == stop - start
            assert all((a == b).all() for a, b in zip(found, images[start:stop], strict=True))


def test_overlapping_ranges_inflate_each_chunk_once(
    images: np.ndarray[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inflated: list[int] = []
    whole = Rows._inflated
    monkeypatch.setattr(Rows, "_inflated", lambda self, chunks: inflated.append(len(chunks)) or whole(self, chunks))
    with h5py.File(stored(images, LAYOUTS["one colour a chunk"], tmp_path / "a.hdf5")) as file:
        rows = Rows(file["images"], **WHERE)
        for start, stop in ((0, 30), (20, 50)):
            assert len(list(rows.read(start, stop))) == stop - start
        assert len(inflated) == 8  # slabs of 7 rows in 50
        monkeypatch.setattr(hdf5_rows, "KEPT_BYTES", 1)
        rows = Rows(file["images"], **WHERE)
        assert len(list(rows.read(0, 30))) == 30
        assert len(rows._kept) == 1


def test_a_chunk_that_was_never_written(images: np.ndarray[Any, Any], tmp_path: Path) -> None:
    """HDF5 would give zeros: black frames that were never recorded."""
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        empty = file.create_dataset("images", images.shape, np.uint8, **LAYOUTS["one colour a chunk"])
        empty[:42] = images[:42]
    with h5py.File(path) as file, pytest.raises(SourceError, match="does not hold every part of the images once"):
        Rows(file["images"], **WHERE)


def test_every_flipped_bit_of_a_chunk_is_found(images: np.ndarray[Any, Any], tmp_path: Path) -> None:
    path = stored(images[:7], LAYOUTS["one colour a chunk"], tmp_path / "a.hdf5")
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(3)
    sound = path.read_bytes()
    refused = 0
    for bit in range(0, 8 * chunk.size, 37):
        damaged = bytearray(sound)
        damaged[chunk.byte_offset + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with h5py.File(path) as file:
            try:
                found = np.stack(list(Rows(file["images"], **WHERE).read(0, 7)))
            except SourceError:
                refused += 1
            else:
                assert (found == images[:7]).all()  # a bit that inflating ignores
    assert refused > 8 * chunk.size / 37 - 5
