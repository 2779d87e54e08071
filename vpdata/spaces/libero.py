"""LIBERO's Panda on a fixed base. Its actions are `osc_pose_action`."""

from vpdata.spaces import panda
from vpdata.spaces.space import Space

LIBERO_PANDA_STATE = Space(
    name="libero_panda_state",
    kind="state",
    groups=(panda.position("world"), panda.axis_angle("world"), panda.FINGERS),
    description="Pose of the end effector in the world, finger joint positions.",
    is_fixed_base=True,
)

SPACES = (LIBERO_PANDA_STATE,)
