"""RoboCasa: what is read equals what h5py reads, and folders with several files of one task are told apart."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from reading import assert_same_frames, describe, episodes, read, response

from vpdata import sources
from vpdata.errors import SourceError
from vpdata.sources import SourceOptions

KITCHEN = Path("robocasa/v0.1/single_stage/kitchen_drawer")
FILE = "demo_gentex_im128_randcams.hdf5"


@pytest.fixture
def close_drawer(recordings: Path) -> Path:
    return recordings / KITCHEN / "CloseDrawer" / FILE


@pytest.fixture
def states_only(close_drawer: Path, tmp_path: Path) -> Path:
    """A `demo.hdf5` as it is before rendering: the recording without its observations."""
    path = tmp_path / "CloseDrawer" / "demo.hdf5"
    path.parent.mkdir()
    with h5py.File(close_drawer) as recording, h5py.File(path, "w") as stripped:
        data = stripped.create_group("data")
        for name in ("actions", "states"):
            recording.copy(f"data/demo_0/{name}", data.require_group("demo_0"))
    return path


def test_describes_the_recording(close_drawer: Path) -> None:
    found = episodes("robocasa", close_drawer)
    assert [(e.episode_id, e.num_frames, e.num_actions) for e in found] == [
        ("demo_0", 123, 123),
        ("demo_1", 135, 135),
        ("demo_2", 110, 110),
    ]
    first = found[0]
    assert [(c.name, c.recorded_name, c.height, c.width) for c in first.cameras] == [
        ("wrist", "robot0_eye_in_hand_image", 128, 128),
        ("left", "robot0_agentview_left_image", 128, 128),
        ("right", "robot0_agentview_right_image", 128, 128),
    ]
    assert (first.source, first.file, first.task, first.fps) == ("robocasa", FILE, "CloseDrawer", 20.0)
    assert (first.action_space, first.state_space) == ("robocasa_panda_omron_action", "robocasa_panda_omron_state")
    assert first.instructions == ("close the right drawer",)
    assert first.attributes == {"layout_id": 0, "style_id": 11, "success": True}


def test_frames_and_actions_are_those_stored(close_drawer: Path) -> None:
    for episode in episodes("robocasa", close_drawer):
        frames, actions, state = read("robocasa", close_drawer, episode)
        with h5py.File(close_drawer) as recording:
            demo = recording["data"][episode.episode_id]
            for camera in episode.cameras:
                assert_same_frames(frames[camera.name], demo["obs"][camera.recorded_name][:])
            assert actions is not None
            assert actions.dtype == np.float64
            assert actions.tobytes() == demo["actions"][:].tobytes()
            assert state is not None
            assert state.shape == (episode.num_frames, 16)
            np.testing.assert_array_equal(state[:, :3], demo["obs/robot0_base_pos"][:])
            np.testing.assert_array_equal(state[:, 3:7], demo["obs/robot0_base_quat"][:])
            np.testing.assert_array_equal(state[:, 7:10], demo["obs/robot0_base_to_eef_pos"][:])
            np.testing.assert_array_equal(state[:, 10:14], demo["obs/robot0_base_to_eef_quat"][:])
            np.testing.assert_array_equal(state[:, 14:], demo["obs/robot0_gripper_qpos"][:])


def test_actions_follow_the_frames_they_are_paired_with(close_drawer: Path) -> None:
    for episode in episodes("robocasa", close_drawer):
        _, actions, state = read("robocasa", close_drawer, episode)
        assert actions is not None
        assert state is not None
        before, now, after = (response(state[:, 7:10], actions, lag) for lag in (-1, 0, 1))
        assert now > 0.5
        assert now > before
        assert after < 0.25


def test_overlapping_ranges_give_the_same_frames(close_drawer: Path) -> None:
    plugin = sources.load("robocasa")
    file = plugin.find(close_drawer)[0]
    episode = episodes("robocasa", close_drawer)[0]
    with plugin.open(file, episode, SourceOptions()) as reader:
        whole = np.stack(list(reader.frames("left", 0, 123)))
        for start, stop in ((0, 70), (40, 123), (122, 123)):
            np.testing.assert_array_equal(np.stack(list(reader.frames("left", start, stop))), whole[start:stop])
        with pytest.raises(IndexError):
            next(reader.frames("left", 0, 124))


def test_cameras_may_be_named_with_or_without_suffix(close_drawer: Path) -> None:
    named = SourceOptions(cameras={"left": "robot0_agentview_left", "wrist": "robot0_eye_in_hand_image"})
    episode = episodes("robocasa", close_drawer, named)[0]
    assert [c.name for c in episode.cameras] == ["wrist", "left"]
    assert [c.recorded_name for c in episode.cameras] == ["robot0_eye_in_hand_image", "robot0_agentview_left_image"]


def test_filter_key_selects_demos(close_drawer: Path) -> None:
    found = episodes("robocasa", close_drawer, SourceOptions(filter_key="2_demos"))
    assert [e.episode_id for e in found] == ["demo_0", "demo_1"]
    with pytest.raises(SourceError, match="no filter key '9_demos'; those in the file: 2_demos, 3_demos"):
        describe("robocasa", close_drawer, SourceOptions(filter_key="9_demos"))


def test_digest_names_content_and_what_is_read_of_it(close_drawer: Path, tmp_path: Path) -> None:
    moved = shutil.copy(close_drawer, tmp_path / "renamed.hdf5")
    here, there = episodes("robocasa", close_drawer), episodes("robocasa", Path(moved))
    assert [e.content_digest for e in here] == [e.content_digest for e in there]
    assert len({e.content_digest for e in here}) == 3
    by_default = here[0].content_digest
    spelled = SourceOptions(
        cameras={"wrist": "robot0_eye_in_hand", "left": "robot0_agentview_left", "right": "robot0_agentview_right"}
    )
    assert episodes("robocasa", close_drawer, spelled)[0].content_digest == by_default
    for other in (
        SourceOptions(cameras={"wrist": "robot0_eye_in_hand"}),
        SourceOptions(fps=10),
        SourceOptions(instruction="shut it"),
    ):
        assert episodes("robocasa", close_drawer, other)[0].content_digest != by_default


def test_instruction_overrides_the_recorded_one(close_drawer: Path) -> None:
    episode = episodes("robocasa", close_drawer, SourceOptions(instruction="shut it"))[0]
    assert episode.instructions == ("shut it",)


def test_recorded_rate_is_read_and_not_overruled(close_drawer: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(close_drawer, tmp_path))
    with h5py.File(path, "r+") as file:
        environment = json.loads(file["data"].attrs["env_args"])
        environment["env_kwargs"]["control_freq"] = 10
        file["data"].attrs["env_args"] = json.dumps(environment)
    assert episodes("robocasa", path)[0].fps == 10.0
    assert "made at 10 fps" in str(describe("robocasa", path, SourceOptions(fps=20))[0])


def test_a_folder_is_searched_for_rendered_files(recordings: Path) -> None:
    files = sources.load("robocasa").find(recordings / "robocasa")
    assert [file.name for file in files] == [
        f"v0.1/single_stage/kitchen_drawer/{task}/{FILE}" for task in ("CloseDrawer", "OpenDrawer")
    ]


def test_states_only_file_says_how_to_render(states_only: Path) -> None:
    for path in (states_only, states_only.parent):
        with pytest.raises(SourceError, match=r"no images.*dataset_states_to_obs"):
            describe("robocasa", path)


def test_states_only_file_beside_its_rendering_is_left_out(close_drawer: Path, states_only: Path) -> None:
    shutil.copy(close_drawer, states_only.parent)
    assert [file.name for file in sources.load("robocasa").find(states_only.parent)] == [FILE]


def test_one_task_rendered_twice_in_a_folder_is_refused(close_drawer: Path, tmp_path: Path) -> None:
    shutil.copy(close_drawer, tmp_path / "demo_gentex_im128_randcams.hdf5")
    shutil.copy(close_drawer, tmp_path / "demo_gentex_im256_randcams.hdf5")
    with pytest.raises(SourceError, match=r"im128_randcams.hdf5, demo_gentex_im256.*Give the one file"):
        sources.load("robocasa").find(tmp_path)
    assert len(episodes("robocasa", tmp_path / "demo_gentex_im256_randcams.hdf5")) == 3


def test_an_unreadable_file_in_a_folder_is_not_left_out(close_drawer: Path, tmp_path: Path) -> None:
    shutil.copy(close_drawer, tmp_path)
    (tmp_path / "torn.hdf5").write_bytes(close_drawer.read_bytes()[:100_000])
    files = sources.load("robocasa").find(tmp_path)
    assert [file.name for file in files] == [FILE, "torn.hdf5"]
    with pytest.raises(SourceError, match=r"torn.hdf5: the HDF5 file is damaged or truncated"):
        list(sources.load("robocasa").episodes(files[1], SourceOptions()))


def rendered(close_drawer: Path, path: Path, *, env_name: str | None, masks: tuple[str, ...] = ()) -> Path:
    """A copy under another name, whose `env_args` say that task, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(close_drawer, path)
    with h5py.File(path, "r+") as file:
        environment = json.loads(file["data"].attrs["env_args"])
        environment["env_name"] = env_name
        file["data"].attrs["env_args"] = json.dumps(environment)
        for name in masks:
            file[f"mask/{name}"] = np.array([b"demo_1"])
    return path


@pytest.mark.parametrize(
    ("place", "env_name", "task"),
    [
        ("kitchen_drawer/CloseDrawer", "OpenDrawer", "OpenDrawer"),
        ("kitchen_drawer/CloseDrawer", None, "CloseDrawer"),
        ("kitchen_drawer/CloseDrawer/2024-04-30", None, "CloseDrawer"),
        ("kitchen_drawer/CloseDrawer/mg/2024-05-09-09-32-19", None, "CloseDrawer"),
    ],
)
def test_the_task_is_the_environments_or_else_the_folders(
    close_drawer: Path, tmp_path: Path, place: str, env_name: str | None, task: str
) -> None:
    rendered(close_drawer, tmp_path / place / "demo_gentex_im256_randcams.hdf5", env_name=env_name)
    assert {episode.task for episode in episodes("robocasa", tmp_path)} == {task}


def test_a_folder_of_many_tasks(close_drawer: Path, recordings: Path, tmp_path: Path) -> None:
    """Renderings of both sizes: each task's own, one size by a pattern, and lists of demos by their key."""
    root, doors = tmp_path / "single_stage", "kitchen_doors/OpenSingleDoor/2024-04-24"
    rendered(close_drawer, root / doors / "demo_gentex_im128_randcams.hdf5", env_name=None, masks=("9_demos",))
    shutil.copytree(recordings / KITCHEN, root / "kitchen_drawer")
    first, *others = sources.load("robocasa").find(root)
    assert first.name == f"{doors}/demo_gentex_im128_randcams.hdf5"
    assert len(others) == 2
    assert {episode.task for episode in episodes("robocasa", root)} == {"OpenSingleDoor", "CloseDrawer", "OpenDrawer"}

    shutil.copy(close_drawer, root / "kitchen_drawer/CloseDrawer/demo_gentex_im256_randcams.hdf5")
    with pytest.raises(SourceError, match=r"or a pattern: 'FOLDER/\*\*/demo_gentex_im128\*\.hdf5'"):
        sources.load("robocasa").find(root)
    found = sources.load("robocasa").find(root / "**" / "demo_gentex_im256*.hdf5")
    assert [file.name for file in found] == ["kitchen_drawer/CloseDrawer/demo_gentex_im256_randcams.hdf5"]
    assert len(sources.load("robocasa").find(root / "**" / "demo_gentex_im128*.hdf5")) == 3

    door = sources.load("robocasa").find(root / "kitchen_doors")[0]
    (listed,) = sources.load("robocasa").episodes(door, SourceOptions(filter_key="9_demos"))
    assert (listed.task, listed.episode_id) == ("OpenSingleDoor", "demo_1")  # type: ignore[union-attr]
    with pytest.raises(SourceError, match="no filter key '9_demos'; those in the file: 2_demos, 3_demos"):
        list(sources.load("robocasa").episodes(found[0], SourceOptions(filter_key="9_demos")))
