"""Cameras by name, through the whole command: none is lost, doubled or invented without a word."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from vpdata import sources
from vpdata.errors import SourceError, VpdataError
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions

RENAMED = {
    "robocasa": ("robocasa", "hand", "robot0_eye_in_hand"),
    "libero": ("libero/open_the_middle_drawer_of_the_cabinet_demo.hdf5", "hand", "eye_in_hand_rgb"),
    "teleop": ("aloha", "hand", "left_wrist"),
    "folder": ("folder/close_drawer/demo_0", "hand", "cam_wrist"),
    "video": ("video/libero10_basket_002_5fps.mp4", "hand", "main"),
}
PRESENT = {
    "robocasa": "cameras there: robot0_agentview_left_image, robot0_agentview_right_image, robot0_eye_in_hand_image",
    "libero": "cameras there: agentview_rgb, eye_in_hand_rgb",
    "teleop": "cameras there: left_wrist, right_wrist, top",
    "folder": "cameras here: cam_wrist, left, right",
    "video": "a video has one camera, 'main'",
}


def vpdata(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vpdata", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def problems(source: str, path: Path, options: SourceOptions) -> str:
    plugin = sources.load(source)
    try:
        found = [item for file in plugin.find(path) for item in plugin.episodes(file, options)]
    except SourceError as error:
        return str(error)
    return " ".join(str(item) for item in found if isinstance(item, VpdataError))


@pytest.mark.parametrize("source", RENAMED)
def test_every_source_renames_and_lists(recordings: Path, source: str) -> None:
    place, name, recorded = RENAMED[source]
    plugin = sources.load(source)
    options = SourceOptions(cameras={name: recorded})
    for file in plugin.find(recordings / place):
        for episode in plugin.episodes(file, options):
            assert not isinstance(episode, VpdataError)
            assert [camera.name for camera in episode.cameras] == [name]
    assert PRESENT[source] in problems(source, recordings / place, SourceOptions(cameras={name: "nowhere"}))


def test_one_view_under_two_names_is_refused(recordings: Path) -> None:
    with pytest.raises(VpdataError, match=r"cameras 'a', 'b' are all to come from 'top'"):
        SourceOptions(cameras={"a": "top", "b": "top"})
    aliases = {"a": "robot0_agentview_left", "b": "robot0_agentview_left_image"}
    message = problems("robocasa", recordings / "robocasa", SourceOptions(cameras=aliases))
    assert "cameras a, b are all to come from 'robot0_agentview_left_image'" in message
    with pytest.raises(VpdataError, match=r"camera name 'Wrist' is not \[a-z0-9_\]\+"):
        SourceOptions(cameras={"Wrist": "top"})


@pytest.mark.parametrize(
    ("cameras", "code", "message"),
    [
        (["top=top", "top=left_wrist"], 2, "--camera top=… is given 2 times"),
        (["top=top", "front=top"], 1, "cameras 'top', 'front' are all to come from 'top'"),
        (["Top=top"], 1, "camera name 'Top' is not [a-z0-9_]+"),
        (["top"], 2, "'top' is not NAME=RECORDED"),
    ],
)
def test_the_command_refuses_in_one_paragraph(
    recordings: Path, tmp_path: Path, cameras: list[str], code: int, message: str
) -> None:
    options = [part for camera in cameras for part in ("--camera", camera)]
    done = vpdata("ingest", "teleop", recordings / "aloha", "--out", tmp_path / "out", *options)
    text = " ".join(done.stderr.replace("│", " ").split())
    assert (done.returncode, message in text, "Traceback" in text) == (code, True, False), done.stderr


@pytest.fixture
def takes(recordings: Path, tmp_path: Path) -> Path:
    """Two folders of one task, the second without the camera `left`."""
    for name in ("demo_0", "demo_1"):
        folder = shutil.copytree(recordings / "folder" / "close_drawer" / name, tmp_path / "takes" / name)
        notes = json.loads((folder / "episode.json").read_text())
        notes.pop("cameras", None)  # or the folder itself would say that `left` is missing
        (folder / "episode.json").write_text(json.dumps(notes))
    (tmp_path / "takes/demo_1/left.mkv").unlink()
    (tmp_path / "takes/demo_1/left.csv").unlink()
    return tmp_path / "takes"


def test_a_missing_camera_is_never_silent(takes: Path, tmp_path: Path) -> None:
    done = vpdata("ingest", "folder", takes, "--out", tmp_path / "out", "--size", "32", "--on-error", "skip")
    text = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "the episodes have different cameras: 1 have" in text
    assert "accept it with --mixed-cameras" in text
    assert not (tmp_path / "out").exists()


def test_mixed_cameras_can_be_accepted(takes: Path, tmp_path: Path) -> None:
    done = vpdata("ingest", "folder", takes, "--out", tmp_path / "out", "--size", "32", "--mixed-cameras", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["episodes"] == 2
    layouts = {len(clip.episode.cameras) for clip in Dataset.open(tmp_path / "out").clips}
    assert layouts == {2, 3}


def test_named_cameras_must_be_in_every_episode(takes: Path, tmp_path: Path) -> None:
    options = IngestOptions(source=SourceOptions(cameras={"left": "left", "right": "right"}))
    with pytest.raises(SourceError, match=r"demo_1: camera 'left' is to come from 'left', which is not here"):
        ingest("folder", [takes], tmp_path / "out", options)
    manifest = ingest("folder", [takes], tmp_path / "out", options, on_error="skip", workers=1)
    assert [skipped.file for skipped in manifest.skipped] == ["demo_1"]
    both = IngestOptions(source=SourceOptions(cameras={"right": "right"}))
    assert ingest("folder", [takes], tmp_path / "both", both, workers=1).num_episodes == 2


def test_a_robocasa_demo_without_a_camera_is_told(recordings: Path, tmp_path: Path) -> None:
    place = "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
    path = Path(shutil.copy(recordings / place, tmp_path / "a.hdf5"))
    with h5py.File(path, "r+") as file:
        for demo in ("demo_0", "demo_2"):
            del file[f"data/{demo}/obs/robot0_agentview_left_image"]
    with pytest.raises(SourceError) as caught:
        ingest("robocasa", [path], tmp_path / "out", IngestOptions())
    assert "a.hdf5, demo_0: camera 'left' is to come from" in str(caught.value)
    assert "And 1 more cannot be used. demo_2: camera 'left' is to come from" in str(caught.value)
