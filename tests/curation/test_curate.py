"""Whole folders: the same twice, after a kill, and with other thresholds without decoding again."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import simplejpeg

from vpdata.curation.curate import LOCK, MEASUREMENTS, curate, measurements_path
from vpdata.curation.record import read_curation
from vpdata.curation.thresholds import DEFAULTS, Thresholds
from vpdata.errors import VpdataError
from vpdata.shards.files import locked_file


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def footage(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real videos, the broken ones, and a copy of one of them."""
    folder = tmp_path_factory.mktemp("footage")
    for name in ("video", "video_broken"):
        shutil.copytree(recordings / name, folder / name)
    shutil.copy(folder / "video/libero_object_soup_000.mp4", folder / "video/z_copy.mp4")
    return folder


@pytest.fixture(scope="module")
def reference(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "out"
    outcome = curate([footage], out, Thresholds(), workers=2)
    assert (outcome.num_measured, outcome.num_reused) == (19, 0)
    assert read_curation(out) == outcome.curation
    return out


def test_what_is_decided(reference: Path) -> None:
    files = {Path(file.file).name: file for file in read_curation(reference).files}
    assert len(files) == 20
    reasons = {name: [span.reason for span in file.dropped] for name, file in files.items() if file.dropped}
    assert reasons == {
        "libero_object_soup_008_odd_95x127_yuv444.mp4": ["small"],
        "libero_object_soup_single_frame.mp4": ["short"],
        "z_copy.mp4": ["duplicate"],
        **{
            f"broken_{name}.mp4": ["unreadable"]
            for name in ("bitflips", "text_renamed", "truncated_no_moov", "zero_byte")
        },
    }
    assert files["z_copy.mp4"].dropped[0].detail == "byte for byte video/libero_object_soup_000.mp4"
    assert "frame 23 of 129" in files["broken_bitflips.mp4"].dropped[0].detail
    assert str(Path.cwd()) not in (reference / "curation.json").read_text()
    for file in files.values():
        for span in file.dropped:
            if span.reason != "unreadable":
                height, width, *_ = simplejpeg.decode_jpeg_header((reference / span.thumbnail).read_bytes())
                assert max(height, width) <= 128


def test_the_same_twice_on_any_number_of_workers(footage: Path, reference: Path, tmp_path: Path) -> None:
    curate([footage], tmp_path / "out", Thresholds(), workers=1)
    assert contents(tmp_path / "out") == contents(reference)


def test_other_thresholds_use_the_measurements_again(footage: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    before = {path: path.stat().st_mtime_ns for path in (out / MEASUREMENTS).iterdir()}
    strict = curate([footage], out, Thresholds(small_pixels=200, blurry_sharpness=500), workers=2)
    assert (strict.num_measured, strict.num_reused) == (0, 19)
    assert {path: path.stat().st_mtime_ns for path in (out / MEASUREMENTS).iterdir()} == before
    assert {"small", "blurry"} <= {span.reason for file in strict.curation.files for span in file.dropped}
    assert sum(len(file.kept) for file in strict.curation.files) < 13
    curate([footage], out, Thresholds(), workers=2)
    assert contents(out) == contents(reference)  # and no thumbnail is left over


def test_after_kills_it_goes_on_and_ends_the_same(footage: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vpdata", "curate", str(footage), "--out", str(out), "--workers", "2"]
    for wanted in (1, 4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(list(out.glob(f"{MEASUREMENTS}/*.parquet"))) < wanted:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert not (out / "curation.json").exists()
    time.sleep(0.5)  # the workers notice that nobody is there
    finished = {path: path.stat().st_ino for path in out.glob(f"{MEASUREMENTS}/*.parquet")}
    assert 4 <= len(finished) < 15
    outcome = curate([footage], out, Thresholds(), workers=2)
    assert outcome.num_reused >= len(finished)
    assert {path: path.stat().st_ino for path in finished} == finished
    assert contents(out) == contents(reference)


def test_measurements_are_known_by_content(footage: Path, reference: Path, tmp_path: Path) -> None:
    out, moved = tmp_path / "out", tmp_path / "moved"
    shutil.copytree(reference, out)
    moved.mkdir()
    shutil.copy(footage / "video/libero_spatial_bowl_002_av1.mp4", moved / "other name.mp4")
    outcome = curate([moved], out, Thresholds())
    assert (outcome.num_measured, outcome.num_reused) == (0, 1)
    assert [file.file for file in outcome.curation.files] == ["other name.mp4"]


def test_a_folder_in_use_or_of_something_else_is_refused(footage: Path, reference: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/notes.txt").write_text("mine")
    with pytest.raises(VpdataError, match="something else"):
        curate([footage], tmp_path / "foreign", Thresholds())
    busy = VpdataError("not free.")
    with locked_file(reference / LOCK, busy=busy), pytest.raises(VpdataError, match="another curation"):
        curate([footage], reference, Thresholds())
    with pytest.raises(VpdataError, match="no finished curation"):
        read_curation(tmp_path / "foreign")


def test_damaged_measurements_are_told(footage: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    damaged = measurements_path(out, read_curation(out).files[0].sha256)
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(VpdataError, match=damaged.name):
        curate([footage], out, Thresholds())


def test_the_thresholds_file(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.toml"
    path.write_text(DEFAULTS)
    assert Thresholds.read(path) == Thresholds()
    path.write_text("black_share = 1\nsmall_pixels = 64\n")
    assert Thresholds.read(path) == Thresholds(black_share=1.0, small_pixels=64)
    for text, message in (
        ("blackshare = 1", "no threshold 'blackshare'"),
        ("black_share = true", "not a number"),
        ("black_share = nan", "not a number"),
        ("black_share = -0.1", "not a number"),
        ("small_pixels = 64.5", "without a fraction"),
        ("cut_window_frames = 0", "at least one frame"),
        ("black_share", "no TOML"),
    ):
        path.write_text(text)
        with pytest.raises(VpdataError, match=message):
            Thresholds.read(path)
    with pytest.raises(VpdataError, match="cannot be read"):
        Thresholds.read(tmp_path / "none.toml")
