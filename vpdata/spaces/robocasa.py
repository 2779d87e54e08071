"""RoboCasa's PandaOmron: an arm under OSC_POSE on a mobile base with a torso."""

from vpdata.spaces import panda
from vpdata.spaces.osc_pose import DELTA_POSITION, DELTA_ROTATION, GRIPPER
from vpdata.spaces.space import Group, Other, Position, Rotation, Space, dimensions

BASE = Group(
    part="base",
    meaning=Other(frame="base"),
    dimensions=dimensions("base_forward base_sideways base_yaw", unit="1", low=-1, high=1),
    may_be_dropped=True,
    default=(0, 0, 0),
)
TORSO = Group(
    part="torso",
    meaning=Other(),
    dimensions=dimensions("torso", unit="1", low=-1, high=1),
    may_be_dropped=True,
    default=(0,),
)
MODE = Group(
    part="mode",
    meaning=Other(),
    dimensions=dimensions("mode", unit="1", low=-1, high=1),
    may_be_dropped=True,
    default=(-1,),
)

PANDA_OMRON_ACTION = Space(
    name="robocasa_panda_omron_action",
    kind="action",
    groups=(DELTA_POSITION, DELTA_ROTATION, GRIPPER, BASE, TORSO, MODE),
    description=(
        "As RoboCasa's HDF5 files store it: an osc_pose_action for the arm, then normalised velocities of the base and "
        "the torso, then the mode (-1 moves the arm, +1 the base)."
    ),
)

PANDA_OMRON_365_ACTION = Space(
    name="robocasa365_panda_omron_action",
    kind="action",
    groups=(BASE, TORSO, MODE, DELTA_POSITION, DELTA_ROTATION, GRIPPER),
    description="As RoboCasa365's LeRobot files store it: robocasa_panda_omron_action in another order.",
)

PANDA_OMRON_STATE = Space(
    name="robocasa_panda_omron_state",
    kind="state",
    groups=(
        Group(part="base", meaning=Position(frame="world"), dimensions=dimensions("base_x base_y base_z", unit="m")),
        Group(
            part="base",
            meaning=Rotation(frame="world", form="quaternion xyzw"),
            dimensions=dimensions("base_quat_x base_quat_y base_quat_z base_quat_w", unit="1", low=-1, high=1),
        ),
        panda.position("base"),
        panda.quaternion("base"),
        panda.FINGERS,
    ),
    description=(
        "Pose of the base in the world, pose of the end effector in the base's frame, finger joint positions; the same "
        "in RoboCasa's HDF5 files and in RoboCasa365's."
    ),
)

SPACES = (PANDA_OMRON_ACTION, PANDA_OMRON_365_ACTION, PANDA_OMRON_STATE)
