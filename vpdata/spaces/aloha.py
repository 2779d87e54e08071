"""ALOHA: two ViperX arms of six joints and a gripper each, left before right."""

from vpdata.spaces.space import Dimension, Gripper, Group, Joints, Space, dimensions

JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")


def _arm(side: str) -> tuple[Group, ...]:
    return (
        Group(
            part=f"{side}_arm",
            meaning=Joints(),
            dimensions=dimensions(" ".join(f"{side}_{joint}" for joint in JOINTS), unit="rad"),
        ),
        Group(
            part=f"{side}_gripper",
            meaning=Gripper(open=1, closed=0, measure="position"),
            dimensions=(Dimension(name=f"{side}_gripper", unit="1", low=0, high=1),),
        ),
    )


ALOHA_ACTION = Space(
    name="aloha_action",
    kind="action",
    groups=(*_arm("left"), *_arm("right")),
    description="Joint targets of both arms; gripper 0 closed, 1 open. The base of a mobile ALOHA is not part of it.",
)

ALOHA_STATE = Space(
    name="aloha_state",
    kind="state",
    groups=(*_arm("left"), *_arm("right")),
    description="Measured joint positions of both arms; gripper 0 closed, 1 open.",
)

SPACES = (ALOHA_ACTION, ALOHA_STATE)
