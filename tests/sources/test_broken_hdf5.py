"""Every way in which an HDF5 recording breaks is named, with the file, the demo and what to do."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from reading import describe, episodes, errors, read

from vpdata import sources
from vpdata.errors import SourceError
from vpdata.sources import SourceFile, SourceOptions

RECORDINGS = {
    "robocasa": "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5",
    "libero": "libero/open_the_middle_drawer_of_the_cabinet_demo.hdf5",
    "teleop": "aloha/episode_0.hdf5",
}
CAMERA = {
    "robocasa": "data/demo_0/obs/robot0_agentview_left_image",
    "libero": "data/demo_0/obs/agentview_rgb",
    "teleop": "observations/images/top",
}
ACTIONS = {"robocasa": "data/demo_0/actions", "libero": "data/demo_0/actions", "teleop": "action"}
EPISODE = {"robocasa": "demo_0", "libero": "demo_0", "teleop": "episode_0"}
all_sources = pytest.mark.parametrize("source", list(RECORDINGS))


@pytest.fixture
def recording(source: str, recordings: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(recordings / RECORDINGS[source], tmp_path))


def test_missing_path_and_empty_folder(tmp_path: Path) -> None:
    for source in sources.NAMES:
        with pytest.raises(SourceError, match="no such file or folder"):
            describe(source, tmp_path / "nowhere")
        with pytest.raises(SourceError, match=r"in this folder\. .* were looked for"):
            describe(source, tmp_path)


def len_of(recording: Path, dataset: str) -> int:
    with h5py.File(recording) as file:
        return len(file[dataset])


@all_sources
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_truncated_file(source: str, recording: Path, part: float) -> None:
    data = recording.read_bytes()
    recording.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(SourceError, match=r"0 bytes|damaged or truncated") as caught:
        describe(source, recording)
    assert caught.value.path == str(recording)
    assert caught.value.hint == "Copy or download it again."


@all_sources
def test_not_an_hdf5_file(source: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.hdf5"
    path.write_text("not a recording")
    with pytest.raises(SourceError, match="not an HDF5 file"):
        describe(source, path)


@all_sources
def test_file_that_vanished_after_it_was_found(source: str, tmp_path: Path) -> None:
    file = SourceFile(path=tmp_path / "gone.hdf5", name="gone.hdf5")
    with pytest.raises(SourceError, match="no such file"):
        list(sources.load(source).episodes(file, SourceOptions()))


@pytest.mark.parametrize("source", ["robocasa", "libero"])
def test_missing_camera_names_those_there(source: str, recording: Path) -> None:
    group, _, name = CAMERA[source].rpartition("/")
    with h5py.File(recording, "r+") as file:
        there = [key for key in file[group] if file[group][key].dtype == np.uint8 and key != name]
        del file[CAMERA[source]]
    found = errors(source, recording)
    assert list(found) == ["demo_0"]
    for part in (str(recording), "demo_0", repr(name), *there):
        assert part in found["demo_0"]
    assert len(describe(source, recording)) == (3 if source == "robocasa" else 1)


@all_sources
def test_shortened_camera(source: str, recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        images = file[CAMERA[source]][:-3]
        del file[CAMERA[source]]
        file[CAMERA[source]] = images
    message = errors(source, recording)[EPISODE[source]]
    assert "lengths differ" in message
    assert f"{CAMERA[source].rpartition('/')[2]} {len(images)}" in message


@all_sources
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_actions_that_are_not_numbers(source: str, recording: Path, value: float) -> None:
    with h5py.File(recording, "r+") as file:
        file[ACTIONS[source]][17:19, 2] = value
    found = errors(source, recording)
    assert [episode for episode, message in found.items() if "NaN" in message] == [EPISODE[source]]
    message = found[EPISODE[source]]
    assert str(recording) in message
    assert EPISODE[source] in message
    dimension = "left_elbow" if source == "teleop" else "delta_z"
    assert f"NaN or infinity in 2 of {len_of(recording, ACTIONS[source])} steps" in message
    assert f"first at step 17 in {dimension}." in message


@all_sources
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_states_that_are_not_numbers(source: str, recording: Path, value: float) -> None:
    dataset, column, dimension = {
        "robocasa": ("data/demo_0/obs/robot0_base_to_eef_quat", 3, "eef_quat_w"),
        "libero": ("data/demo_0/obs/gripper_states", 1, "finger_right"),
        "teleop": ("observations/qpos", 13, "right_gripper"),
    }[source]
    with h5py.File(recording, "r+") as file:
        file[dataset][5, column] = value
    message = errors(source, recording)[EPISODE[source]]
    assert str(recording) in message
    assert f"first at step 5 in {dimension}." in message


@all_sources
def test_images_of_another_dtype(source: str, recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        images = file[CAMERA[source]][:].astype(np.float32)
        del file[CAMERA[source]]
        file[CAMERA[source]] = images
    assert "is float32" in errors(source, recording)[EPISODE[source]]


@pytest.mark.parametrize("source", ["robocasa", "libero"])
def test_num_samples_that_disagrees(source: str, recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["data/demo_0"].attrs["num_samples"] = 5
    assert "num_samples 5" in errors(source, recording)["demo_0"]


@pytest.mark.parametrize("source", ["robocasa", "libero"])
def test_a_list_that_names_a_demo_that_is_not_there(source: str, recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["mask/train"] = np.array([b"demo_0", b"demo_77"])
    found = errors(source, recording, SourceOptions(filter_key="train"))
    assert list(found) == ["demo_77"]


def test_recording_of_another_robot(recordings: Path) -> None:
    found = errors("robocasa", recordings / RECORDINGS["libero"])
    assert "agentview_rgb" in found["demo_0"]
    with pytest.raises(SourceError, match="no demos under 'data'"):
        describe("libero", recordings / RECORDINGS["teleop"])


@pytest.mark.parametrize("source", ["robocasa"])
def test_damaged_images_are_found_when_they_are_read(source: str, recording: Path) -> None:
    episode = episodes(source, recording)[0]
    with h5py.File(recording) as file:
        chunk = file[CAMERA[source]].id.get_chunk_info(5)
    with recording.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    with pytest.raises(SourceError, match=r"demo_0, camera left: the HDF5 file is damaged"):
        read(source, recording, episode)


def test_an_error_of_the_caller_keeps_its_type(recordings: Path) -> None:
    """A full disk while shards are written inside `open` is not a damaged recording."""
    for source, path in RECORDINGS.items():
        plugin = sources.load(source)
        file = plugin.find(recordings / path)[0]
        episode = episodes(source, recordings / path)[0]
        with pytest.raises(OSError, match="disk full"), plugin.open(file, episode, SourceOptions()):
            raise OSError("disk full")
