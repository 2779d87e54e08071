"""Targets for the pose of one arm's end effector: no robot's own, but what policies like to predict.

Every one is `osc_pose_action` in another way, and converts to it given the state: absolute in the base's frame or in
the world's, or as a change seen from the end effector.
"""

from vpdata.spaces.osc_pose import GRIPPER
from vpdata.spaces.space import Frame, Group, Position, Rotation, Space, dimensions


def _absolute(frame: Frame) -> Space:
    return Space(
        name=f"eef_pose_{frame}_action",
        kind="action",
        groups=(
            Group(part="eef", meaning=Position(frame=frame), dimensions=dimensions("eef_x eef_y eef_z", unit="m")),
            Group(
                part="eef",
                meaning=Rotation(frame=frame, form="6-D"),
                dimensions=dimensions("x_axis_x x_axis_y x_axis_z y_axis_x y_axis_y y_axis_z", unit="1"),
            ),
            GRIPPER,
        ),
        description=f"Pose that the end effector is to have in the {frame}'s frame; gripper as in osc_pose_action.",
    )


EEF_DELTA_ACTION = Space(
    name="eef_delta_action",
    kind="action",
    groups=(
        Group(
            part="eef",
            meaning=Position(frame="end effector", is_change=True),
            dimensions=dimensions("eef_delta_x eef_delta_y eef_delta_z", unit="m"),
        ),
        Group(
            part="eef",
            meaning=Rotation(frame="end effector", form="axis-angle", is_change=True),
            dimensions=dimensions("eef_delta_axis_angle_x eef_delta_axis_angle_y eef_delta_axis_angle_z", unit="rad"),
        ),
        GRIPPER,
    ),
    description="Change of the end effector's pose in its own axes; gripper as in osc_pose_action.",
)

SPACES = (_absolute("base"), _absolute("world"), EEF_DELTA_ACTION)
