"""Writes an episode in DROID's layout from a real recording of a simulated Panda, as no file of DROID's is here.

Names, shapes and types are those that DROID's `TrajectoryWriter`, `parse_trajectory` and `svo2mp4` write; videos are
made by OpenCV as `mp4v` at 60 fps, as there. Frames, joints, poses and actions are those of a RoboCasa demo.
"""

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from vpdata.spaces import rotation

DEMO = "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
NUM_STEPS = 60
UUID = "LAB+0123abcd+2023-12-04-15h-52m-01s"
NAME = "Mon_Dec__4_15:52:01_2023"
SERIALS = {"wrist": "18026681", "ext1": "22008760", "ext2": "24400334"}
LEFT, RIGHT = "24400334", "22008760"  # the second external camera stands on the left
VIEWS = {
    SERIALS["wrist"]: "robot0_eye_in_hand_image",
    LEFT: "robot0_agentview_left_image",
    RIGHT: "robot0_agentview_right_image",
}

Images = NDArray[np.uint8]


def originals(recordings: Path) -> dict[str, Images]:
    """Frames by serial number."""
    with h5py.File(recordings / DEMO) as file:
        obs = file["data/demo_0/obs"]
        return {serial: obs[recorded][:NUM_STEPS] for serial, recorded in VIEWS.items()}


def write_video(path: Path, frames: Images) -> None:
    """As DROID's `export_mp4`: MPEG-4 part 2 at the camera's 60 fps, though steps are 1/15 s apart."""
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 60, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def write_episode(recordings: Path, root: Path) -> Path:
    """Writes `LAB/success/DATE/TIME` below `root`, and the annotations beside LAB. Gives the episode's folder."""
    folder = root / "LAB" / "success" / "2023-12-04" / NAME
    (folder / "recordings" / "MP4").mkdir(parents=True)
    for serial, frames in originals(recordings).items():
        write_video(folder / "recordings" / "MP4" / f"{serial}.mp4", frames)
        write_video(folder / "recordings" / "MP4" / f"{serial}-stereo.mp4", frames[:2])
    with h5py.File(recordings / DEMO) as demo, h5py.File(folder / "trajectory.h5", "w") as file:
        _write_steps(file, demo["data/demo_0"])
    videos = f"success/2023-12-04/{NAME}/recordings/MP4"
    metadata = {
        "uuid": UUID,
        "lab": "LAB",
        "user": "A Person",
        "user_id": "0123abcd",
        "building": "N/A",
        "scene_id": 7,
        "success": True,
        "current_task": "Close a drawer",
        "trajectory_length": NUM_STEPS,
        **{f"{role}_cam_serial": serial for role, serial in SERIALS.items()},
        **{f"{role}_mp4_path": f"{videos}/{serial}.mp4" for role, serial in SERIALS.items()},
        "left_mp4_path": f"{videos}/{LEFT}.mp4",
        "right_mp4_path": f"{videos}/{RIGHT}.mp4",
    }
    (folder / f"metadata_{UUID}.json").write_text(json.dumps(metadata))
    annotations = {
        UUID: {"language_instruction1": "close the drawer", "language_instruction2": "push the drawer shut "}
    }
    (root / "aggregated-annotations-030724.json").write_text(json.dumps(annotations))
    return folder


def _write_steps(file: h5py.File, demo: h5py.Group) -> None:
    obs, told = demo["obs"], demo["actions"][:NUM_STEPS]
    joints, velocities = obs["robot0_joint_pos"][:NUM_STEPS], obs["robot0_joint_vel"][:NUM_STEPS]
    quaternions = obs["robot0_base_to_eef_quat"][:NUM_STEPS].astype(np.float64)
    euler = rotation.from_quaternion(rotation.to_quaternion(quaternions, "quaternion xyzw"), "euler xyz")
    pose = np.concatenate([obs["robot0_base_to_eef_pos"][:NUM_STEPS], euler], axis=1)
    width = np.abs(obs["robot0_gripper_qpos"][:NUM_STEPS]).sum(axis=1)
    state = {
        "joint_positions": joints,
        "joint_velocities": velocities,
        "cartesian_position": pose,
        "gripper_position": 1 - width / 0.08,
    }
    action = {
        "cartesian_velocity": told[:, :6] * ([0.05 / 0.075] * 3 + [0.5 / 0.15] * 3),
        "cartesian_position": pose + told[:, :6] * ([0.05] * 3 + [0.5] * 3),
        "joint_velocity": velocities / 15 / 0.2,
        "joint_position": joints + velocities / 15,
        "gripper_velocity": told[:, 6],
        "gripper_position": np.clip(1 - width / 0.08 + 0.25 * told[:, 6], 0, 1),
    }
    start = 1_701_705_121_000 + np.round(np.arange(NUM_STEPS) * 1000 / 14.9).astype(np.int64)
    groups = {
        "action": action,
        "observation/robot_state": state,
        "observation/timestamp/control": {"step_start": start, "step_end": start + 60},
        "observation/timestamp/cameras": {f"{serial}_frame_received": start + 20 for serial in VIEWS},
        "observation/timestamp": {"skip_action": np.arange(NUM_STEPS) < 5},
        "observation/camera_type": {serial: np.full(NUM_STEPS, serial != SERIALS["wrist"]) for serial in VIEWS},
    }
    for group, columns in groups.items():
        for name, values in columns.items():
            file.create_dataset(f"{group}/{name}", data=values, maxshape=(None, *values.shape[1:]))
    file.attrs["success"], file.attrs["current_task"] = True, "Close a drawer"
