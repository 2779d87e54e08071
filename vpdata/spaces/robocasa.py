"""RoboCasa's PandaOmron: an arm under OSC_POSE on a mobile base with a torso."""

import numpy as np
from numpy.typing import NDArray

from vpdata.spaces.osc_pose import DELTA_POSE, GRIPPER
from vpdata.spaces.space import Space, dimensions

ARM_ONLY = (0.0, 0.0, 0.0, 0.0, -1.0)  # base and torso at rest, mode: arm

PANDA_OMRON_ACTION = Space(
    name="robocasa_panda_omron_action",
    kind="action",
    dimensions=(
        *DELTA_POSE,
        *GRIPPER,
        *dimensions("base_forward base_sideways base_yaw torso mode", unit="1", low=-1, high=1),
    ),
    description=(
        "As RoboCasa's HDF5 files store it: an osc_pose_action for the arm, then normalised velocities of the base and "
        "the torso, then the mode (-1 moves the arm, +1 the base)."
    ),
)

PANDA_OMRON_STATE = Space(
    name="robocasa_panda_omron_state",
    kind="state",
    dimensions=(
        *dimensions("base_x base_y base_z", unit="m"),
        *dimensions("base_quat_x base_quat_y base_quat_z base_quat_w", unit="1", low=-1, high=1),
        *dimensions("eef_x eef_y eef_z", unit="m"),
        *dimensions("eef_quat_x eef_quat_y eef_quat_z eef_quat_w", unit="1", low=-1, high=1),
        *dimensions("finger_left finger_right", unit="m"),
    ),
    description="Pose of the base in the world, pose of the end effector in the base's frame, finger joint positions.",
)

SPACES = (PANDA_OMRON_ACTION, PANDA_OMRON_STATE)


def to_osc_pose(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """(..., 12) to (..., 7): the arm and the gripper. What the base and the torso did is dropped."""
    return values[..., :7].copy()


def from_osc_pose(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """(..., 7) to (..., 12): the base and the torso rest, the mode is the arm's."""
    rest = np.broadcast_to(np.asarray(ARM_ONLY, dtype=values.dtype), (*values.shape[:-1], len(ARM_ONLY)))
    return np.concatenate([values, rest], axis=-1)
