"""What the fuzz runs found, each once more by hand."""

import io
import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.data.fuzz_files import cut_demo
from tests.sources.droid_episode import UUID, write_episode
from tests.sources.lerobot_sets import write_robocasa365
from vpdata.errors import SourceError, VpdataError
from vpdata.ingest import IngestOptions, ingest, make_plan
from vpdata.sources import SourceOptions

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


# --- Data sets of many files ----------------------------------------------------------------------------------------


def refuse(source: str, path: Path, options: IngestOptions = OPTIONS) -> str:
    with pytest.raises(SourceError) as caught:
        make_plan(source, [path], options)
    return str(caught.value)


def edit_json(path: Path, *keys: str, value: object) -> None:
    whole = holder = json.loads(path.read_text())
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = value
    path.write_text(json.dumps(whole))


@pytest.fixture
def lerobot(recordings: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recordings / "lerobot/v30_av1", tmp_path / "lerobot"))


FRONT = ("features", "observation.images.front")


@pytest.mark.parametrize(
    ("keys", "value", "what"),
    [
        (("robot_type",), 7, "robot_type 7 is no text"),
        (("robot_type",), "\ud800", "surrogates not allowed"),
        (("total_episodes",), float("inf"), "OverflowError"),
        (("fps",), 1e-320, "made at 1e-320 fps"),
        (("fps",), float("inf"), "made at inf fps"),
        (("fps",), float("nan"), "made at nan fps"),
        (("fps",), None, "fps is null"),
        ((*FRONT, "dtype"), "vidEo", "No type alias"),
        ((*FRONT, "info", "video.is_depth_map"), "fblse", "is_depth_map of 'observation.images.front' is 'fblse'"),
        ((*FRONT, "shape"), [float("inf")], "OverflowError"),
    ],
)
def test_a_value_of_info_json(keys: tuple[str, ...], value: object, what: str, lerobot: Path) -> None:
    edit_json(lerobot / "meta/info.json", *keys, value=value)
    assert what in refuse("lerobot", lerobot)


def test_a_key_of_info_json_that_the_rows_do_not_have(lerobot: Path) -> None:
    """The state was left out without a word."""
    info = lerobot / "meta/info.json"
    info.write_text(info.read_text().replace('"observation.state"', '"observation.stbte"'))
    assert "no column 'observation.stbte', which info.json announces" in refuse("lerobot", lerobot)


def test_names_in_parquet_that_are_not_utf8(lerobot: Path) -> None:
    file = lerobot / "data/chunk-000/file-000.parquet"
    file.write_bytes(file.read_bytes().replace(b"episode_index", b"\xee" * 13))
    assert "file-000.parquet" in refuse("lerobot", lerobot)


def test_rows_of_parquet_without_numbers(lerobot: Path) -> None:
    file = lerobot / "data/chunk-000/file-000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(0, 0), file)
    assert "'episode_index' holds no numbers" in refuse("lerobot", lerobot)
    place = table.column_names.index("action")
    pq.write_table(table.set_column(place, "action", pa.array([[]] * len(table), pa.list_(pa.float32()))), file)
    assert "'action' holds no numbers" in refuse("lerobot", lerobot)


def test_a_flipped_bit_under_a_checksum_of_lerobots_rows(lerobot: Path) -> None:
    file = lerobot / "data/chunk-000/file-000.parquet"
    table = pq.read_table(file)
    pq.write_table(table, file, write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(file.read_bytes())
    data[data.index(table["action"][0].values.to_numpy().tobytes())] ^= 1
    file.write_bytes(data)
    assert "file-000.parquet" in refuse("lerobot", lerobot)


def test_a_flipped_bit_under_a_checksum_of_a_list(recordings: Path, tmp_path: Path) -> None:
    file = tmp_path / "list.parquet"
    columns = {"path": [str(recordings / SOUP)], "caption": ["reach for the soup"]}
    as_they_are = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table(columns), file, write_page_checksum=True, **as_they_are)
    file.write_bytes(file.read_bytes().replace(b"for the soup", b"for the soap"))
    assert "list.parquet" in refuse("video", file)


def damaged_png(data: bytes) -> bytes:
    """With another pixel, and the CRC-32 of before."""
    end = data.rindex(b"IEND") - 4
    head = data.index(b"IDAT") - 4
    pixels = bytearray(zlib.decompress(data[head + 8 : end - 4]))
    pixels[-1] ^= 1
    content = zlib.compress(bytes(pixels))
    chunk = len(content).to_bytes(4, "big") + b"IDAT" + content
    return data[:head] + chunk + data[end - 4 : end] + data[end:]


def test_the_checksum_of_a_png(recordings: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, "png")
    options = IngestOptions(source=SourceOptions(fps=5))
    file = tmp_path / "images" / "1.png"
    file.parent.mkdir()
    file.write_bytes(damaged_png(buffer.getvalue()))
    with pytest.raises(SourceError, match=r"1\.png: the image is damaged"):
        ingest("images", [file.parent], tmp_path / "out", options, workers=1)
    root = Path(shutil.copytree(recordings / "lerobot/v30_png", tmp_path / "lerobot"))
    rows = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(rows)
    name = "observation.image"
    pictures = table[name].to_pylist()
    pictures[0]["bytes"] = damaged_png(buffer.getvalue())
    place = table.column_names.index(name)
    pq.write_table(table.set_column(place, name, pa.array(pictures, table.schema.field(name).type)), rows)
    assert "the picture does not decode" in refuse("lerobot", root)


@pytest.fixture
def robocasa365(recordings: Path, tmp_path: Path) -> Path:
    out = tmp_path / "robocasa365"
    recording = next((recordings / "robocasa").rglob("OpenDrawer/*.hdf5"))
    cut = tmp_path / "cut.hdf5"
    cut.write_bytes(cut_demo(recording))
    write_robocasa365(cut, out, demos=["demo_2"])
    return out


@pytest.mark.parametrize(
    ("file", "keys", "value", "what"),
    [
        ("meta/modality.json", ("state", "base_position", "start"), float("inf"), "state is not made of"),
        ("meta/modality.json", ("state", "base_position", "end"), 10**30, "state is not made of"),
        ("extras/dataset_meta.json", ("env_args",), [], "no env_args.env_name"),
        ("extras/dataset_meta.json", ("env_args", "env_name"), ["a"], "no env_args.env_name"),
        ("extras/episode_000000/ep_meta.json", ("lang",), 7, "7 is no text"),
    ],
)
def test_a_value_of_robocasa365(file: str, keys: tuple[str, ...], value: object, what: str, robocasa365: Path) -> None:
    edit_json(robocasa365 / file, *keys, value=value)
    assert what in refuse("robocasa365", robocasa365)


def test_notes_of_droid(recordings: Path, tmp_path: Path) -> None:
    folder = write_episode(recordings, tmp_path)
    (metadata,) = folder.glob("metadata_*.json")
    sound = metadata.read_text()
    edit_json(metadata, "right_mp4_path", value=json.loads(sound)["left_mp4_path"])
    assert "which another one comes from already" in refuse("droid", folder)
    metadata.write_text(sound)
    edit_json(tmp_path / "aggregated-annotations-030724.json", UUID, value=7)
    assert f"the annotations of {UUID} are 7, no JSON object" in refuse("droid", folder)


def test_settings_of_hdf5_that_are_no_object(recordings: Path, tmp_path: Path) -> None:
    file = tmp_path / "demo.hdf5"
    file.write_bytes(cut_demo(next((recordings / "robocasa").rglob("OpenDrawer/*.hdf5"))))
    with h5py.File(file, "r+") as h5:
        h5["data"].attrs["env_args"] = json.dumps({"env_name": "OpenDrawer", "env_kwargs": []})
    assert "demo.hdf5" in refuse("robocasa", file)
