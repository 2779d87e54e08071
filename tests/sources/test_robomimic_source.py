"""robomimic: the layout of its image datasets, derived here from a LIBERO recording, against its source.

recorded by LIBERO       a0 o0 a1 o1 a2 o2       o0 is seen after a0, rows upside down
derived, in robomimic's  obs = o0 o1             actions = a1 a2, next_obs = o1 o2, rows upright
"""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from reading import assert_same_frames, describe, episodes, errors, read, response

from vpdata.errors import SourceError
from vpdata.sources import SourceOptions

RECORDING = "open_the_middle_drawer_of_the_cabinet_demo.hdf5"
IMAGES = {"agentview_image": "agentview_rgb", "robot0_eye_in_hand_image": "eye_in_hand_rgb"}
STATE = {"robot0_gripper_qpos": slice(0, 2), "robot0_eef_pos": slice(2, 5), "robot0_eef_quat": slice(5, 9)}


@pytest.fixture
def libero(recordings: Path) -> Path:
    return recordings / "libero" / RECORDING


@pytest.fixture
def derived(libero: Path, tmp_path: Path) -> Path:
    path = tmp_path / "image.hdf5"
    with h5py.File(libero) as recorded, h5py.File(path, "w") as file:
        demo, target = recorded["data/demo_0"], file.create_group("data/demo_0")
        environment = json.loads(recorded["data"].attrs["env_args"])
        file["data"].attrs["env_args"] = json.dumps(
            environment | {"env_name": "MiddleDrawer_D0", "env_version": "1.4.0"}
        )
        target["actions"] = demo["actions"][1:]
        target.attrs["num_samples"] = len(target["actions"])
        for group, rows in (("obs", slice(None, -1)), ("next_obs", slice(1, None))):
            for name, original in IMAGES.items():
                target[f"{group}/{name}"] = demo["obs"][original][rows][:, ::-1]
            for name, columns in STATE.items():
                target[f"{group}/{name}"] = demo["robot_states"][rows, columns]
        file["mask/train"] = np.array([b"demo_0"])
    return path


def test_the_episode_is_that_of_the_libero_file(libero: Path, derived: Path) -> None:
    (episode,), (original,) = episodes("robomimic", derived), episodes("libero", libero)
    assert (episode.num_frames, episode.num_actions) == (original.num_frames - 1, original.num_actions)
    assert (episode.fps, episode.task, episode.action_space) == (20.0, "MiddleDrawer_D0", "osc_pose_action")
    assert (episode.state_space, episode.instructions) == ("robomimic_panda_state", ())
    assert [(camera.name, camera.recorded_name) for camera in episode.cameras] == [
        ("wrist", "robot0_eye_in_hand_image"),
        ("front", "agentview_image"),
    ]
    frames, actions, state = read("robomimic", derived, episode)
    expected, expected_actions, expected_state = read("libero", libero, original)
    for camera in ("wrist", "front"):
        assert_same_frames(frames[camera], expected[camera][:-1])
    np.testing.assert_array_equal(actions, expected_actions)
    assert state is not None
    assert expected_state is not None
    np.testing.assert_allclose(state[:, :3], expected_state[:-1, :3], atol=1e-9)


def test_language_and_task_of_a_demo(derived: Path) -> None:
    with h5py.File(derived, "r+") as file:
        file["data/demo_0"].attrs["ep_meta"] = json.dumps({"lang": "open the drawer", "task": "drawer"})
    (episode,) = episodes("robomimic", derived)
    assert (episode.instructions, episode.task) == (("open the drawer",), "MiddleDrawer_D0")
    assert episodes("robomimic", derived, SourceOptions(instruction="go"))[0].instructions == ("go",)


def test_actions_follow_the_frames_they_are_paired_with(derived: Path) -> None:
    (episode,) = episodes("robomimic", derived)
    _, actions, state = read("robomimic", derived, episode)
    assert actions is not None
    assert state is not None
    assert response(state[:, :3].astype(float), actions.astype(float), 0) > 0.5
    assert abs(response(state[:, :3].astype(float), actions.astype(float), 1)) < 0.3


@pytest.mark.parametrize(
    ("dataset", "column", "dimension"),
    [
        ("actions", 6, "gripper"),
        ("obs/robot0_eef_quat", 0, "eef_quat_x"),
        ("obs/robot0_gripper_qpos", 1, "finger_right"),
    ],
)
def test_what_is_no_number_is_named(derived: Path, dataset: str, column: int, dimension: str) -> None:
    with h5py.File(derived, "r+") as file:
        file["data/demo_0"][dataset][3, column] = np.nan
    message = errors("robomimic", derived)["demo_0"]
    assert str(derived) in message
    assert f"first at step 3 in {dimension}." in message


def test_lists_of_demos(derived: Path) -> None:
    assert len(episodes("robomimic", derived, SourceOptions(filter_key="train"))) == 1
    with pytest.raises(SourceError, match="no filter key 'valid'; those in the file: train"):
        describe("robomimic", derived, SourceOptions(filter_key="valid"))


def with_setting(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        environment = json.loads(file["data"].attrs["env_args"])
        environment["env_kwargs"][name] = value
        file["data"].attrs["env_args"] = json.dumps(environment)


SCALE = {"type": "OSC_POSE", "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    "arm",
    [
        {
            "control_delta": True,
            "input_ref_frame": "world",
        },  # as robomimic converted its own data sets to robosuite 1.5
        {"input_type": "delta", "input_ref_frame": "base"},  # as robosuite 1.5 writes it
    ],
)
def test_controllers_of_robosuite_1_5(derived: Path, arm: dict[str, object]) -> None:
    (before,) = episodes("robomimic", derived)
    parts = {"right": {**SCALE, **arm, "gripper": {"type": "GRIP"}}}
    with_setting(derived, "controller_configs", {"type": "BASIC", "body_parts": parts})
    (episode,) = episodes("robomimic", derived)
    assert (episode.action_space, episode.num_actions) == (before.action_space, before.num_actions)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("robots", ["Panda", "Panda"]),
        ("robots", ["Sawyer"]),
        ("controller_configs", {"type": "JOINT_POSITION"}),
        ("controller_configs", {"type": "OSC_POSE", "control_delta": False}),
        ("controller_configs", None),
        ("controller_configs", {"type": "BASIC", "body_parts": {"right": SCALE | {"input_type": "absolute"}}}),
        (
            "controller_configs",
            {"type": "BASIC", "body_parts": {"right": SCALE | {"input_type": "delta", "input_ref_frame": "eef"}}},
        ),
    ],
)
def test_other_robots_and_controllers_are_refused(derived: Path, name: str, value: object) -> None:
    with_setting(derived, name, value)
    with pytest.raises(SourceError, match="the actions are of robots"):
        describe("robomimic", derived)


def test_a_missing_camera_and_states_only(derived: Path, libero: Path) -> None:
    assert "cameras there: agentview_rgb, eye_in_hand_rgb" in errors("robomimic", libero)["demo_0"]
    with h5py.File(derived, "r+") as file:
        for name in IMAGES:
            del file[f"data/demo_0/obs/{name}"]
    with pytest.raises(SourceError, match="only states") as caught:
        describe("robomimic", derived)
    assert "dataset_states_to_obs" in str(caught.value)
