"""DROID's layout, derived from a real recording: steps, frames, cameras by role, language, and every fault named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from droid_episode import LEFT, NAME, NUM_STEPS, RIGHT, SERIALS, UUID, originals, write_episode, write_video
from reading import describe, episodes, read, response
from typer.testing import CliRunner

from vpdata import spaces
from vpdata.cli.app import app
from vpdata.errors import SourceError
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions
from vpdata.sources.droid import ACTION_SPACES


@pytest.fixture(scope="module")
def written(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("droid")
    write_episode(recordings, root)
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "droid_raw"))


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "LAB" / "success" / "2023-12-04" / NAME


def refuse(path: Path, options: SourceOptions = SourceOptions()) -> str:  # noqa: B008
    with pytest.raises(SourceError) as caught:
        describe("droid", path, options)
    return str(caught.value)


def edit(folder: Path, **changed: object) -> None:
    path = folder / f"metadata_{UUID}.json"
    values = {**json.loads(path.read_text()), **changed}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


# --- What was recorded ----------------------------------------------------------------------------------------------


def test_describes_the_recording(root: Path) -> None:
    (episode,) = episodes("droid", root)
    assert (episode.file, episode.episode_id) == (f"LAB/success/2023-12-04/{NAME}", NAME)
    assert (episode.num_frames, episode.num_actions, episode.fps) == (NUM_STEPS, NUM_STEPS, 15.0)
    assert [(camera.name, camera.recorded_name, camera.height) for camera in episode.cameras] == [
        ("wrist", SERIALS["wrist"], 128),
        ("left", LEFT, 128),
        ("right", RIGHT, 128),
    ]
    assert episode.instructions == ("close the drawer", "push the drawer shut")
    assert (episode.action_space, episode.state_space) == ("droid_cartesian_velocity_action", "droid_state")
    assert dict(episode.attributes) == {
        "uuid": UUID,
        "lab": "LAB",
        "building": "N/A",
        "scene_id": 7,
        "success": True,
        "current_task": "Close a drawer",
        "num_skipped_actions": 5,
        "measured_fps": 14.9,
        "num_left_out_steps": 0,
    }
    assert "A Person" not in str(episode)


def test_the_recording_comes_back(recordings: Path, folder: Path) -> None:
    """Arrays to the bit; every frame looks more like its own step's than like the next one's, in its true colours."""
    (episode,) = episodes("droid", folder)
    shown, actions, state = read("droid", folder, episode)
    assert actions is not None
    assert state is not None
    with h5py.File(folder / "trajectory.h5") as file:
        np.testing.assert_array_equal(actions[:, :6], file["action/cartesian_velocity"][:])
        np.testing.assert_array_equal(actions[:, 6], file["action/gripper_position"][:])
        np.testing.assert_array_equal(state[:, :7], file["observation/robot_state/joint_positions"][:])
        np.testing.assert_array_equal(state[:, 7:13], file["observation/robot_state/cartesian_position"][:])
        np.testing.assert_array_equal(state[:, 13], file["observation/robot_state/gripper_position"][:])
    wanted = originals(recordings)
    for camera, serial in (("wrist", SERIALS["wrist"]), ("left", LEFT), ("right", RIGHT)):
        images, original = shown[camera].astype(int), wanted[serial].astype(int)
        assert images.shape == original.shape
        assert 1.2 * np.abs(images - original).mean() < np.abs(images[..., ::-1] - original).mean()
    wrist, own = shown["wrist"].astype(int), wanted[SERIALS["wrist"]].astype(int)
    moving = np.flatnonzero(np.abs(np.diff(own, axis=0)).mean(axis=(1, 2, 3)) > 2)
    assert len(moving) > 20
    for t in moving:
        assert np.abs(wrist[t] - own[t]).mean() < np.abs(wrist[t] - own[t + 1]).mean()


def test_state_answers_the_action_of_its_own_row(folder: Path) -> None:
    (episode,) = episodes("droid", folder)
    _, actions, state = read("droid", folder, episode)
    assert actions is not None
    assert state is not None
    positions, told = np.asarray(state[:, 7:10], float), np.asarray(actions[:, :3], float)
    assert response(positions, told, 0) > 0.4
    assert response(positions, told, 0) > response(positions, told, 1) + 0.3


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_every_action_space_is_registered_and_read(name: str, folder: Path) -> None:
    options = SourceOptions(action_space=name)
    (episode,) = episodes("droid", folder, options)
    _, actions, _ = read("droid", folder, episode, options)
    assert actions is not None
    assert (episode.action_space, actions.shape) == (name, (NUM_STEPS, spaces.load(name).size))
    spaces.load(name).check_size(actions)
    if name != "droid_cartesian_velocity_action":
        assert episode.content_digest != episodes("droid", folder)[0].content_digest


def test_a_space_that_droid_does_not_record(folder: Path) -> None:
    message = refuse(folder, SourceOptions(action_space="osc_pose_action"))
    assert "DROID has no actions in 'osc_pose_action'. Choose --action-space from droid_cartesian_velocity" in message


def test_cameras_by_role_or_serial(folder: Path) -> None:
    options = SourceOptions(cameras={"front": "ext1", "wrist": SERIALS["wrist"]})
    (episode,) = episodes("droid", folder, options)
    assert [(one.name, one.recorded_name) for one in episode.cameras] == [
        ("wrist", SERIALS["wrist"]),
        ("front", SERIALS["ext1"]),
    ]
    message = refuse(folder, SourceOptions(cameras={"top": "ext3"}))
    assert "camera 'top' is to come from 'ext3', which has no video; videos: 18026681, 18026681-stereo" in message
    assert "cameras: wrist 18026681, ext1 22008760, ext2 24400334, left 24400334, right 22008760" in message


def test_language_and_rate_are_as_said(root: Path, folder: Path) -> None:
    (episode,) = episodes("droid", folder, SourceOptions(instruction="shut it", fps=14.9))
    assert (episode.instructions, episode.fps) == (("shut it",), 14.9)
    (root / "aggregated-annotations-030724.json").unlink()
    assert episodes("droid", folder)[0].instructions == ()
    edit(folder, language_instruction="from its own notes")
    assert episodes("droid", folder)[0].instructions == ("from its own notes",)


def test_the_digest_is_of_what_was_recorded_and_not_of_who_or_where(folder: Path, tmp_path: Path) -> None:
    (first,) = episodes("droid", folder)
    edit(folder, user="Another", trajectory_length=0)
    assert episodes("droid", folder)[0].content_digest == first.content_digest
    copied = Path(shutil.copytree(folder, tmp_path / "other" / "take"))
    assert episodes("droid", copied)[0].content_digest != first.content_digest  # without its language
    edit(copied, language_instruction1="close the drawer", language_instruction2="push the drawer shut")
    assert episodes("droid", copied)[0].content_digest == first.content_digest


@pytest.mark.parametrize("missing", [1, 2])
def test_videos_may_end_one_frame_before_the_steps(missing: int, recordings: Path, folder: Path) -> None:
    frames = originals(recordings)[LEFT]
    write_video(folder / "recordings" / "MP4" / f"{LEFT}.mp4", frames[: NUM_STEPS - missing])
    if missing > 1:
        message = refuse(folder)
        assert (
            "lengths differ, so frames and actions cannot be paired: camera wrist (18026681.mp4) 60, camera" in message
        )
        return
    (episode,) = episodes("droid", folder)
    assert (episode.num_frames, episode.num_actions, episode.attributes["num_left_out_steps"]) == (59, 59, 1)
    shown, actions, state = read("droid", folder, episode)
    assert actions is not None
    assert state is not None
    assert {len(images) for images in shown.values()} | {len(actions), len(state)} == {59}


def test_ingest_by_command(root: Path, tmp_path: Path) -> None:
    command = ["ingest", "droid", str(root), "--out", str(tmp_path / "out"), "--workers", "1", "--size", "64"]
    made = CliRunner().invoke(app, [*command, "--action-space", "droid_joint_velocity_action"])
    assert made.exit_code == 0, made.output
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.manifest.options["action_space"] == "droid_joint_velocity_action"
    assert list(dataset.manifest.statistics) == ["droid_joint_velocity_action", "droid_state"]
    assert sum(clip.num_labelled_starts for clip in dataset.clips) == NUM_STEPS
    other = CliRunner().invoke(app, ["ingest", "video", str(root), "--out", "x", "--action-space", "y"])
    assert "only the source droid reads --action-space" in str(other.exception)


# --- Faults ---------------------------------------------------------------------------------------------------------


def _without(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with h5py.File(folder / "trajectory.h5", "a") as file:
            del file[name]

    return damage


def _nan(folder: Path) -> None:
    with h5py.File(folder / "trajectory.h5", "a") as file:
        file["action/cartesian_velocity"][17, 2] = np.nan


def _shorter(folder: Path) -> None:
    with h5py.File(folder / "trajectory.h5", "a") as file:
        file["observation/robot_state/joint_positions"].resize(50, axis=0)


def _no_steps(folder: Path) -> None:
    with h5py.File(folder / "trajectory.h5", "a") as file:
        for name in ("action", "observation/robot_state"):
            for column in file[name].values():
                column.resize(0, axis=0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("action/cartesian_velocity"), "has no dataset 'action/cartesian_velocity'"),
        (_without("observation/robot_state"), "has no dataset 'observation/robot_state/joint_positions'"),
        (_nan, "action has NaN or infinity in 1 of 60 steps, first at step 17 in delta_z"),
        (_shorter, "observation/robot_state/joint_positions 50"),
        (_no_steps, "there are no steps"),
        (lambda folder: (folder / "trajectory.h5").write_bytes(b""), "the file is empty"),
        (lambda folder: (folder / "trajectory.h5").write_text("x" * 999), "this is not an HDF5 file"),
        (lambda folder: next(folder.glob("metadata_*")).unlink(), "there are 0 files metadata_*.json, not one"),
        (lambda folder: (folder / "metadata_x.json").write_text("{}"), "there are 2 files metadata_*.json, not one"),
        (lambda folder: next(folder.glob("metadata_*")).write_text("[]"), "this is not a JSON object"),
        (lambda folder: next(folder.glob("metadata_*")).write_text("{"), "this is not JSON in UTF-8"),
        (
            lambda folder: edit(folder, wrist_cam_serial=None, left_mp4_path=3),
            "no text: wrist_cam_serial, left_mp4_path",
        ),
        (lambda folder: (folder / f"recordings/MP4/{LEFT}.mp4").unlink(), "which has no video; videos: 18026681,"),
        (lambda folder: (folder / f"recordings/MP4/{LEFT}.mp4").write_bytes(b""), "the file is empty"),
    ],
)
def test_faults_are_named(damage: Callable[[Path], None], message: str, folder: Path) -> None:
    damage(folder)
    assert message in refuse(folder)
    assert NAME in refuse(folder)


@pytest.mark.parametrize("part", [0.2, 0.7, 0.99])
@pytest.mark.parametrize("name", ["trajectory.h5", f"recordings/MP4/{LEFT}.mp4"])
def test_files_that_were_cut_off(name: str, part: float, folder: Path) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    assert path.name in refuse(folder)


def test_other_paths(folder: Path, tmp_path: Path) -> None:
    assert [episode.file for episode in episodes("droid", folder / "trajectory.h5")] == [NAME]
    (tmp_path / "empty").mkdir()
    assert "no DROID episode in this folder" in refuse(tmp_path / "empty")
    assert "no such file or folder" in refuse(tmp_path / "nowhere")
    assert "this is no trajectory.h5" in refuse(next(folder.glob("metadata_*")))
    for options in (SourceOptions(filter_key="a"), SourceOptions(resample=True)):
        assert "out." in refuse(folder, options)
