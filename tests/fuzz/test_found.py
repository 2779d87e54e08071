"""What the fuzz runs found, each once more by hand."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vpdata.errors import SourceError, VpdataError
from vpdata.ingest import IngestOptions, ingest, make_plan

OPTIONS = IngestOptions()
SOUP = "video/libero_object_soup_000.mp4"
WEBM = "video/libero_spatial_bowl_004_vp9.webm"

READ_TWICE = """
import sys
from pathlib import Path
from vpdata.errors import SourceError
from vpdata.ingest import IngestOptions, make_plan
broken, sound = map(Path, sys.argv[1:])
try:
    make_plan("libero", [broken], IngestOptions())
except SourceError as error:
    print(error)
print(make_plan("libero", [sound], IngestOptions()).num_clips, "clips")
"""


def test_a_broken_demo_does_not_keep_others_from_being_read(recordings: Path, tmp_path: Path) -> None:
    """An iterator of h5py that an error left behind kept its lock for good: the next file was waited for forever."""
    sound = next((recordings / "libero").glob("open*.hdf5"))
    broken = tmp_path / "broken_demo.hdf5"
    shutil.copy(sound, broken)
    with h5py.File(broken) as file:
        place = h5py.h5o.get_info(file["data/demo_0"].id).addr
    with broken.open("r+b") as raw:
        raw.seek(place)
        raw.write(b"\xff" * 16)
    arguments = [sys.executable, "-c", READ_TWICE, str(broken), str(sound)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert str(broken) in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[-1].endswith("clips")


ONE, NOTHING = b"\0\1\0\0", bytes(4)  # of the matrix by which a track is shown


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"avc1", b"zzzz", "FFmpeg has no decoder"),
        (ONE + 3 * NOTHING + ONE, ONE + 4 * NOTHING, "it is to be shown turned by"),
    ],
)
def test_a_video_without_decoder_or_orientation(
    old: bytes, new: bytes, what: str, recordings: Path, tmp_path: Path
) -> None:
    data = (recordings / SOUP).read_bytes()
    at = data.index(old, data.index(b"trak"))
    video = tmp_path / "a.mp4"
    video.write_bytes(data[:at] + new + data[at + len(old) :])
    with pytest.raises(SourceError, match=what):
        make_plan("video", [video], OPTIONS)


def test_webm_is_refused_wherever_it_is_cut(recordings: Path, tmp_path: Path) -> None:
    data = (recordings / WEBM).read_bytes()
    video = tmp_path / "a.webm"
    for length in range(0, len(data), len(data) // 60):
        video.write_bytes(data[:length])
        with pytest.raises(SourceError, match=r"a\.webm"):
            make_plan("video", [video], OPTIONS)


def test_webm_with_a_hole_between_two_frames(recordings: Path, tmp_path: Path) -> None:
    """FFmpeg goes on at the next cluster: seconds without frames, and nothing said."""
    data = (recordings / WEBM).read_bytes()
    video = tmp_path / "a.webm"
    video.write_bytes(data[:60_000] + data[60_300:])
    with pytest.raises(SourceError, match="its elements stop to fit"):
        make_plan("video", [video], OPTIONS)


def test_numbers_that_overflow_statistics(recordings: Path, tmp_path: Path) -> None:
    take = tmp_path / "take"
    shutil.copytree(recordings / "folder" / "close_drawer" / "demo_1", take)
    table = pq.read_table(take / "data.parquet")
    name = next(name for name in table.column_names if name.startswith("action"))
    values = table[name].to_numpy().astype(np.float64).copy()
    values[3] = 1e300
    column = table.column_names.index(name)
    pq.write_table(table.set_column(column, name, pa.array(values)), take / "data.parquet")
    with pytest.raises(VpdataError, match="beyond float32"):
        ingest("folder", [take], tmp_path / "out", OPTIONS, workers=1)


def test_a_flipped_bit_under_a_checksum_of_parquet(recordings: Path, tmp_path: Path) -> None:
    take = tmp_path / "take"
    shutil.copytree(recordings / "folder" / "close_drawer" / "demo_1", take)
    file = take / "data.parquet"
    pq.write_table(pq.read_table(file), file, write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(SourceError, match=r"data\.parquet"):
        make_plan("folder", [take], OPTIONS)
