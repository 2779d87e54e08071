"""robomimic's Panda on a fixed base. Its actions under OSC_POSE are `osc_pose_action`."""

from vpdata.spaces.space import Space, dimensions

ROBOMIMIC_PANDA_STATE = Space(
    name="robomimic_panda_state",
    kind="state",
    dimensions=(
        *dimensions("eef_x eef_y eef_z", unit="m"),
        *dimensions("eef_quat_x eef_quat_y eef_quat_z eef_quat_w", unit="1", low=-1, high=1),
        *dimensions("finger_left finger_right", unit="m"),
    ),
    description="Pose of the end effector in the world, finger joint positions.",
)

SPACES = (ROBOMIMIC_PANDA_STATE,)
