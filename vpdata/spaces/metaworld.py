"""Meta-World's Sawyer: a hand that keeps its orientation, moved by a target point, and a gripper."""

from vpdata.spaces.space import Gripper, Group, Position, Space, dimensions

METAWORLD_ACTION = Space(
    name="metaworld_action",
    kind="action",
    groups=(
        Group(
            part="eef",
            meaning=Position(frame="world", is_change=True),
            dimensions=dimensions("delta_x delta_y delta_z", unit="0.01 m", low=-1, high=1),
        ),
        Group(
            part="gripper",
            meaning=Gripper(open=-1, closed=1, measure="command"),
            dimensions=dimensions("gripper", unit="1", low=-1, high=1),
        ),
    ),
    description=(
        "Step of the point that the hand is pulled to, in the world, in controller units (1 is 0.01 m); force on the "
        "fingers, -1 opens, +1 closes."
    ),
)

METAWORLD_STATE = Space(
    name="metaworld_state",
    kind="state",
    groups=(
        Group(
            part="eef",
            meaning=Position(frame="world"),
            dimensions=dimensions("hand_x hand_y hand_z", unit="m"),
        ),
        Group(
            part="gripper",
            meaning=Gripper(open=1, closed=0, measure="position"),
            dimensions=dimensions("gripper_opening", unit="0.1 m", low=0, high=1),
        ),
    ),
    description="Position of the hand in the world, distance between the fingers. Where the objects are is left out.",
)

SPACES = (METAWORLD_ACTION, METAWORLD_STATE)
