"""Operational-space control of one arm: the seven numbers that LIBERO and robosuite's OSC_POSE controller take."""

from vpdata.spaces.space import Gripper, Group, Position, Rotation, Space, dimensions

DELTA_POSITION = Group(
    part="eef",
    meaning=Position(frame="base", is_change=True),
    dimensions=dimensions("delta_x delta_y delta_z", unit="0.05 m", low=-1, high=1),
)
DELTA_ROTATION = Group(
    part="eef",
    meaning=Rotation(frame="base", form="axis-angle", is_change=True),
    dimensions=dimensions("delta_axis_angle_x delta_axis_angle_y delta_axis_angle_z", unit="0.5 rad", low=-1, high=1),
)
GRIPPER = Group(
    part="gripper",
    meaning=Gripper(open=-1, closed=1, measure="command"),
    dimensions=dimensions("gripper", unit="1", low=-1, high=1),
)

OSC_POSE_ACTION = Space(
    name="osc_pose_action",
    kind="action",
    groups=(DELTA_POSITION, DELTA_ROTATION, GRIPPER),
    description=(
        "Change of the end effector's pose in the robot's base frame, in controller units (1 is 0.05 m or 0.5 rad); "
        "gripper -1 opens, +1 closes."
    ),
)

SPACES = (OSC_POSE_ACTION,)
