"""DROID: one Franka Panda on a fixed base with a Robotiq gripper, told 15 times a second.

A velocity of 1 stands for the largest step of its controller: 0.075 m, 0.15 rad, 0.2 rad of a joint (`RobotIKSolver` of
DROID's code). Rotations are scipy's `xyz` Euler angles; a change of pose is in the base's axes, as `add_poses` there.
"""

from vpdata.spaces.space import Gripper, Group, Joints, Position, Rotation, Space, dimensions

JOINTS = " ".join(f"joint_{number}" for number in range(1, 8))
EULER = "eef_euler_x eef_euler_y eef_euler_z"
GRIPPER = Group(
    part="gripper",
    meaning=Gripper(open=0, closed=1, measure="position"),
    dimensions=dimensions("gripper", unit="1", low=0, high=1),
)
POSE = (
    Group(part="eef", meaning=Position(frame="base"), dimensions=dimensions("eef_x eef_y eef_z", unit="m")),
    Group(part="eef", meaning=Rotation(frame="base", form="euler xyz"), dimensions=dimensions(EULER, unit="rad")),
)
JOINT_POSITIONS = Group(part="arm", meaning=Joints(), dimensions=dimensions(JOINTS, unit="rad"))

CARTESIAN_VELOCITY = Space(
    name="droid_cartesian_velocity_action",
    kind="action",
    groups=(
        Group(
            part="eef",
            meaning=Position(frame="base", is_change=True),
            dimensions=dimensions("delta_x delta_y delta_z", unit="0.075 m", low=-1, high=1),
        ),
        Group(
            part="eef",
            meaning=Rotation(frame="base", form="euler xyz", is_change=True),
            dimensions=dimensions("delta_euler_x delta_euler_y delta_euler_z", unit="0.15 rad", low=-1, high=1),
        ),
        GRIPPER,
    ),
    description="Change of the end effector's pose in one step; the gripper's target, 0 open, 1 closed.",
)

JOINT_VELOCITY = Space(
    name="droid_joint_velocity_action",
    kind="action",
    groups=(
        Group(
            part="arm",
            meaning=Joints(),
            dimensions=dimensions(JOINTS.replace("joint", "joint_velocity"), unit="0.2 rad", low=-1, high=1),
        ),
        GRIPPER,
    ),
    description="Change of the seven joints in one step; the gripper's target, 0 open, 1 closed.",
)

CARTESIAN_POSITION = Space(
    name="droid_cartesian_position_action",
    kind="action",
    groups=(*POSE, GRIPPER),
    description="Pose that the end effector is to have in the base's frame; the gripper's target, 0 open, 1 closed.",
)

JOINT_POSITION = Space(
    name="droid_joint_position_action",
    kind="action",
    groups=(JOINT_POSITIONS, GRIPPER),
    description="Targets of the seven joints; the gripper's target, 0 open, 1 closed.",
)

STATE = Space(
    name="droid_state",
    kind="state",
    groups=(JOINT_POSITIONS, *POSE, GRIPPER),
    description="Measured joints, pose of the end effector in the base's frame, gripper 0 open, 1 closed.",
)

SPACES = (CARTESIAN_VELOCITY, JOINT_VELOCITY, CARTESIAN_POSITION, JOINT_POSITION, STATE)
