"""LIBERO's Panda on a fixed base. Its actions are `osc_pose_action`."""

from vpdata.spaces.space import Space, dimensions

LIBERO_PANDA_STATE = Space(
    name="libero_panda_state",
    kind="state",
    dimensions=(
        *dimensions("eef_x eef_y eef_z", unit="m"),
        *dimensions("eef_axis_angle_x eef_axis_angle_y eef_axis_angle_z", unit="rad"),
        *dimensions("finger_left finger_right", unit="m"),
    ),
    description="Pose of the end effector in the world, finger joint positions.",
)

SPACES = (LIBERO_PANDA_STATE,)
