"""Operational-space control of one arm: the seven numbers that LIBERO and robosuite's OSC_POSE controller take."""

from vpdata.spaces.space import Space, dimensions

DELTA_POSE = (
    *dimensions("delta_x delta_y delta_z", unit="0.05 m", low=-1, high=1),
    *dimensions("delta_axis_angle_x delta_axis_angle_y delta_axis_angle_z", unit="0.5 rad", low=-1, high=1),
)
GRIPPER = dimensions("gripper", unit="1", low=-1, high=1)

OSC_POSE_ACTION = Space(
    name="osc_pose_action",
    kind="action",
    dimensions=DELTA_POSE + GRIPPER,
    description=(
        "Change of the end effector's pose in the robot's base frame, in controller units (1 is 0.05 m or 0.5 rad); "
        "gripper -1 opens, +1 closes."
    ),
)

SPACES = (OSC_POSE_ACTION,)
