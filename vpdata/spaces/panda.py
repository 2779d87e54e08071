"""What the Panda's spaces have in common: where its hand is, and its two fingers."""

from vpdata.spaces.space import Frame, Group, Joints, Position, Rotation, dimensions

FINGERS = Group(part="fingers", meaning=Joints(), dimensions=dimensions("finger_left finger_right", unit="m"))


def position(frame: Frame) -> Group:
    """x, y, z of the end effector."""
    return Group(part="eef", meaning=Position(frame=frame), dimensions=dimensions("eef_x eef_y eef_z", unit="m"))


def axis_angle(frame: Frame) -> Group:
    """How the end effector is turned, as axis times angle."""
    return Group(
        part="eef",
        meaning=Rotation(frame=frame, form="axis-angle"),
        dimensions=dimensions("eef_axis_angle_x eef_axis_angle_y eef_axis_angle_z", unit="rad"),
    )


def quaternion(frame: Frame) -> Group:
    """How the end effector is turned, as a quaternion with the scalar last, as robosuite has it."""
    return Group(
        part="eef",
        meaning=Rotation(frame=frame, form="quaternion xyzw"),
        dimensions=dimensions("eef_quat_x eef_quat_y eef_quat_z eef_quat_w", unit="1", low=-1, high=1),
    )
