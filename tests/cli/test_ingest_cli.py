"""`vpdata ingest`, `info` and `validate` as a user runs them; every bad input ends in one paragraph and no OUT."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from vpdata import __version__

CLOSE = "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
WRIST = "data/demo_1/obs/robot0_eye_in_hand_image"


def vpdata(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vpdata", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})


def test_version_and_examples() -> None:
    assert vpdata("--version").stdout == f"vpdata {__version__}\n"
    for verb in ("ingest", "info", "validate"):
        shown = vpdata(verb, "--help")
        assert shown.returncode == 0
        assert f"vpdata {verb} " in shown.stdout.split("Examples:")[1]


def test_from_recordings_to_a_validated_data_set(recordings: Path, tmp_path: Path) -> None:
    arguments = ("ingest", "robocasa", recordings / "robocasa", "--out", tmp_path / "out", "--size", "48x64")
    planned = vpdata(*arguments, "--dry-run", "--json")
    assert planned.returncode == 0
    assert not (tmp_path / "out").exists()
    plan = json.loads(planned.stdout)
    assert vpdata(*arguments, "--dry-run").stdout.splitlines()[0].strip() == "4 episodes, 4 clips, 1 shards"

    made = vpdata(*arguments, "--camera", "wrist=robot0_eye_in_hand_image", "--json")
    assert made.returncode == 0, made.stderr
    row = json.loads(made.stdout)
    assert (row["episodes"], row["clips"], row["skipped"]) == (4, len(plan["clips"]), 0)
    again = vpdata(*arguments, "--camera", "wrist=robot0_eye_in_hand_image")
    assert (again.returncode, "is up to date" in again.stderr) == (0, True)

    (about,) = json.loads(vpdata("info", tmp_path / "out", "--json").stdout)
    assert about["cameras"] == ["wrist 48x64"]
    assert about["instructions"] == ["close the right drawer", "open the left drawer"]
    assert (about["labelled_share"], about["fps"]) == (1.0, [20.0])
    assert "close the right drawer" in vpdata("info", tmp_path / "out").stdout

    sound = vpdata("validate", tmp_path / "out", "--decode", "--json")
    assert (sound.returncode, json.loads(sound.stdout)[0]["problems"]) == (0, [])
    shard = tmp_path / "out" / "shard-00000.tar"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    damaged = vpdata("validate", tmp_path / "out")
    assert damaged.returncode == 1
    assert "shard-00000.tar: its SHA-256 is not the manifest's." in damaged.stderr


def _text(path: Path) -> None:
    path.write_text("this is not HDF5")


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _lacking_camera(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file[WRIST]


def _shorter_camera(path: Path) -> None:
    with h5py.File(path, "a") as file:
        shorter = file[WRIST][:-1]
        del file[WRIST]
        file[WRIST] = shorter


def _nan(path: Path) -> None:
    with h5py.File(path, "a") as file:
        actions = file["data/demo_1/actions"][:]
        actions[5, 2] = np.nan
        file["data/demo_1/actions"][...] = actions


@pytest.mark.parametrize(
    ("damage", "demo", "what"),
    [
        (_text, None, "HDF5"),
        (_truncated, None, "HDF5|truncated|damaged|cut"),
        (_lacking_camera, "demo_1", "robot0_eye_in_hand_image"),
        (_shorter_camera, "demo_1", "frames|long|rows"),
        (_nan, "demo_1", "NaN"),
    ],
)
def test_a_bad_recording_is_named(
    damage: Callable[[Path], None], demo: str | None, what: str, recordings: Path, tmp_path: Path
) -> None:
    path = tmp_path / "in" / "demo_gentex_im128_randcams.hdf5"
    path.parent.mkdir()
    shutil.copy(recordings / CLOSE, path)
    damage(path)
    done = vpdata("ingest", "robocasa", path.parent, "--out", tmp_path / "out")
    assert_one_paragraph(done)
    assert path.name in done.stderr
    assert demo is None or demo in done.stderr
    assert any(part in done.stderr for part in what.split("|"))
    assert not (tmp_path / "out").exists()


def assert_one_paragraph(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_bad_video_is_named_or_skipped(recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(recordings / "video" / "libero_object_soup_000.mp4", tmp_path / "in" / "good.mp4")
    for broken in (recordings / "video_broken").iterdir():
        shutil.copy(broken, tmp_path / "in" / broken.name)
        done = vpdata("ingest", "video", tmp_path / "in", "--out", tmp_path / "out")
        assert_one_paragraph(done)
        assert broken.name in done.stderr
        assert not (tmp_path / "out").exists()
        (tmp_path / "in" / broken.name).unlink()
    shutil.copy(recordings / "video_broken" / "broken_text_renamed.mp4", tmp_path / "in" / "text.mp4")
    done = vpdata("ingest", "video", tmp_path / "in", "--out", tmp_path / "out", "--on-error", "skip")
    assert done.returncode == 0
    assert "skipped text.mp4" in done.stderr
    (about,) = json.loads(vpdata("info", tmp_path / "out", "--json").stdout)
    assert (about["episodes"], about["skipped"][0]["file"], about["labelled_share"]) == (1, "text.mp4", 0.0)


def test_bad_paths_and_options(recordings: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    source = recordings / "robocasa"
    for arguments, expected in [
        (("robocasa", tmp_path / "nowhere", *out), "nowhere"),
        (("robocasa", tmp_path / "empty", *out), "empty"),
        (("video", tmp_path / "empty", *out), "empty"),
        (("betacam", source, *out), "there is no source 'betacam'"),
        (("robocasa", source, *out, "--codec", "mpeg2"), "there is no codec 'mpeg2'"),
        (("robocasa", source, *out, "--camera", "wrist=nothing"), "nothing"),
        (("robocasa", source, *out, "--filter-key", "none_such"), "none_such"),
    ]:
        done = vpdata("ingest", *arguments)
        assert_one_paragraph(done)
        assert expected in done.stderr
    for option in (("--size", "0"), ("--size", "12x"), ("--camera", "wrist")):
        assert vpdata("ingest", "robocasa", source, *out, *option).returncode == 2
    assert not (tmp_path / "out").exists()


def test_another_format_version_is_refused(recordings: Path, datasets: Mapping[str, Path], tmp_path: Path) -> None:
    out = Path(shutil.copytree(datasets["robocasa"], tmp_path / "out"))
    manifest = (out / "manifest.json").read_text().replace('"format_version": 2', '"format_version": 7')
    (out / "manifest.json").write_text(manifest)
    for arguments in (("ingest", "robocasa", recordings / "robocasa", "--out", out), ("info", out), ("validate", out)):
        done = vpdata(*arguments)
        assert_one_paragraph(done)
        assert "format version 7, but this vpdata reads version 2" in done.stderr
    assert (out / "manifest.json").read_text() == manifest
