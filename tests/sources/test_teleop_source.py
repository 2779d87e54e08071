"""ALOHA: true colours out of raw and compressed files, default camera names, and damaged JPEGs."""

import io
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from reading import assert_same_frames, describe, episodes, errors, read

from vpdata import sources
from vpdata.errors import SourceError
from vpdata.sources import SourceOptions


@pytest.fixture
def compressed(recordings: Path) -> Path:
    return recordings / "aloha" / "episode_0.hdf5"


@pytest.fixture
def raw(recordings: Path) -> Path:
    return recordings / "aloha_raw" / "episode_0.hdf5"


@pytest.fixture
def edited(compressed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(compressed, tmp_path))


def test_describes_the_recording(compressed: Path) -> None:
    (episode,) = episodes("teleop", compressed)
    assert (episode.episode_id, episode.num_frames, episode.num_actions, episode.fps) == ("episode_0", 80, 80, 50.0)
    assert [(c.name, c.height, c.width) for c in episode.cameras] == [
        ("left_wrist", 480, 640),
        ("right_wrist", 480, 640),
        ("top", 480, 640),
    ]
    assert (episode.action_space, episode.state_space, episode.instructions) == ("aloha_action", "aloha_state", ())
    options = SourceOptions(fps=25, instruction="hand over the cube")
    (episode,) = episodes("teleop", compressed, options)
    assert (episode.fps, episode.instructions) == (25.0, ("hand over the cube",))


def test_raw_frames_are_those_stored(raw: Path) -> None:
    (episode,) = episodes("teleop", raw)
    frames, actions, state = read("teleop", raw, episode)
    with h5py.File(raw) as recording:
        assert_same_frames(frames["top"], recording["observations/images/top"][:])
        assert actions is not None
        assert actions.tobytes() == recording["action"][:].tobytes()
        assert state is not None
        assert state.tobytes() == recording["observations/qpos"][:].tobytes()


def test_compressed_frames_have_the_colours_of_the_raw_recording(raw: Path, compressed: Path) -> None:
    """Both show a red cube and nothing blue; a decoder that swaps the two shows a blue cube."""
    (raw_episode,), (episode,) = episodes("teleop", raw), episodes("teleop", compressed)
    raw_frames, _, _ = read("teleop", raw, raw_episode)
    frames, _, _ = read("teleop", compressed, episode)
    for shown in (raw_frames["top"], frames["top"], frames["right_wrist"]):
        red, blue = (shown[..., channel].astype(np.int16) for channel in (0, 2))
        assert (red - blue > 100).sum() > 100
        assert (blue - red > 100).sum() == 0


def test_compressed_frames_are_the_stored_jpegs_but_for_the_swap(compressed: Path) -> None:
    (episode,) = episodes("teleop", compressed)
    frames, _, _ = read("teleop", compressed, episode)
    with h5py.File(compressed) as recording:
        for camera in episode.cameras:
            for index in (0, 41, 79):
                stored = recording["observations/images"][camera.recorded_name][index].tobytes()
                decoded = np.asarray(Image.open(io.BytesIO(stored)))
                assert_same_frames(frames[camera.name][index], decoded[..., ::-1])


def test_padding_ends_where_the_recorder_says(compressed: Path) -> None:
    """A row ends where its JPEG does; `compress_len` holds the same lengths, in another order of cameras."""
    with h5py.File(compressed) as recording:
        images = recording["observations/images"]
        ends = [[len(row.tobytes().rstrip(b"\0")) for row in images[camera]] for camera in images]
        assert sorted(ends) == sorted(recording["compress_len"][:].astype(int).tolist())
        assert max(map(max, ends)) > min(map(min, ends))


def test_mobile_aloha_cameras_get_their_short_names(edited: Path) -> None:
    with h5py.File(edited, "r+") as file:
        images = file["observations/images"]
        for old, new in (("top", "cam_high"), ("left_wrist", "cam_left_wrist"), ("right_wrist", "Cam-Low 2")):
            images.move(old, new)
        file["base_action"] = np.ones((80, 2), np.float32)
    (episode,) = episodes("teleop", edited)
    assert {c.name: c.recorded_name for c in episode.cameras} == {
        "left_wrist": "cam_left_wrist",
        "cam_low_2": "Cam-Low 2",
        "top": "cam_high",
    }
    assert episode.attributes["base_action_left_out"] is True


def test_episodes_come_in_natural_order(raw: Path, tmp_path: Path) -> None:
    for number in (10, 2, 0):
        shutil.copy(raw, tmp_path / f"episode_{number}.hdf5")
    assert [e.episode_id for e in episodes("teleop", tmp_path)] == ["episode_0", "episode_2", "episode_10"]


@pytest.mark.parametrize(("cut", "message"), [(3000, "cut off"), (2, "does not decode")])
def test_a_damaged_jpeg_is_named(edited: Path, cut: int, message: str) -> None:
    with h5py.File(edited, "r+") as file:
        row = file["observations/images/top"][40]
        if message == "cut off":
            row[cut:] = 0
        else:
            row[cut:1000] = 7
        file["observations/images/top"][40] = row
    (episode,) = episodes("teleop", edited)
    plugin = sources.load("teleop")
    with plugin.open(plugin.find(edited)[0], episode, SourceOptions()) as reader:
        assert len(list(reader.frames("top", 0, 40))) == 40
        with pytest.raises(SourceError, match=f"camera top, frame 40: the JPEG {'is ' * (cut > 2)}{message}"):
            list(reader.frames("top", 32, 80))


def test_a_missing_array_or_camera_is_named(edited: Path) -> None:
    options = SourceOptions(cameras={"head": "cam_high"})
    message = errors("teleop", edited, options)["episode_0"]
    assert "'cam_high'" in message
    assert "left_wrist, right_wrist, top" in message
    with h5py.File(edited, "r+") as file:
        del file["observations/qpos"]
    assert "observations/qpos" in errors("teleop", edited)["episode_0"]


def test_other_formats_and_options_are_refused(recordings: Path, compressed: Path) -> None:
    libero = recordings / "libero" / "open_the_middle_drawer_of_the_cabinet_demo.hdf5"
    assert "no cameras under observations/images" in next(iter(errors("teleop", libero).values()))
    with pytest.raises(SourceError, match="no filter key"):
        describe("teleop", compressed, SourceOptions(filter_key="train"))
