"""robomimic's Panda on a fixed base. Its actions under OSC_POSE are `osc_pose_action`."""

from vpdata.spaces import panda
from vpdata.spaces.space import Space

ROBOMIMIC_PANDA_STATE = Space(
    name="robomimic_panda_state",
    kind="state",
    groups=(panda.position("world"), panda.quaternion("world"), panda.FINGERS),
    description="Pose of the end effector in the world, finger joint positions.",
    is_fixed_base=True,
)

SPACES = (ROBOMIMIC_PANDA_STATE,)
