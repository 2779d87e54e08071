"""What a space is: the meaning of every column of an action or state array, in groups that convert as one.

Enters: what a family of spaces declares. Leaves: `Space`, which checks and clips arrays of its own.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError
from vpdata.spaces.rotation import Form, size_of

Frame = Literal["world", "base", "end effector"]

TOLERANCE = 1e-3  # of a range's width: rounding and a policy's last digits, not a fault
_UNIT = re.compile(r"(?:(?P<scale>[0-9.]+) )?(?P<unit>\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One column of an array.

    Attributes:
        name: unique within its space.
        unit: `m`, `rad`, `m/s`, `1` for a plain number, or what one unit stands for (`0.05 m`).
        low, high: the range that the robot's interface defines, None where it defines none. Recordings may exceed it.
    """

    name: str
    unit: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if _UNIT.fullmatch(self.unit) is None:
            raise ValueError(f"unit {self.unit!r} of {self.name}")

    @property
    def scale(self) -> float:
        """How many of `plain_unit` one is: 0.05 for `0.05 m`."""
        found = _UNIT.fullmatch(self.unit)
        return 1.0 if found is None or found["scale"] is None else float(found["scale"])

    @property
    def plain_unit(self) -> str:
        """The unit without its factor: `m` for `0.05 m`."""
        return self.unit.rpartition(" ")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """x, y, z in the axes of `frame`: where the part is, or by how much it is to move."""

    frame: Frame
    is_change: bool = False

    def __post_init__(self) -> None:
        _require_frame(self.frame, is_change=self.is_change)

    def __str__(self) -> str:
        return "change of position" if self.is_change else "position"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """How the part is turned in the axes of `frame`, or by what it is to be turned: see `rotation.Form`."""

    frame: Frame
    form: Form
    is_change: bool = False

    def __post_init__(self) -> None:
        _require_frame(self.frame, is_change=self.is_change)

    def __str__(self) -> str:
        return f"{'change of rotation' if self.is_change else 'rotation'}, {self.form}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gripper:
    """One number: its values where the gripper is `open` and `closed`.

    A `command` tells the gripper to open or to close; a `position` says, or sets, how far it is open. The one does not
    say the other.
    """

    open: float
    closed: float
    measure: Literal["command", "position"]

    def __str__(self) -> str:
        return f"gripper {self.measure}, {self.open:g} open, {self.closed:g} closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joints:
    """Joint positions, velocities or targets, as their units and names say."""

    def __str__(self) -> str:
        return "joints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Anything else; it means what its names and units say, in the axes of `frame` where it has one."""

    frame: Frame | None = None

    def __str__(self) -> str:
        return "as named"


Meaning = Position | Rotation | Gripper | Joints | Other


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Neighbouring columns that mean one thing together.

    Attributes:
        part: of the robot: `eef`, `gripper`, `base`, `left_arm`, … A space has one group of a part and kind of meaning.
        meaning: what the numbers are.
        dimensions: the columns.
        may_be_dropped: whether a conversion may leave it out where the target has no such group.
        default: a value a column, which a conversion may set where the source has no such group; None: it may not.
    """

    part: str
    meaning: Meaning
    dimensions: tuple[Dimension, ...]
    may_be_dropped: bool = False
    default: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        size, meaning = len(self.dimensions), self.meaning
        expected = size
        if isinstance(meaning, Position):
            expected = 3
        elif isinstance(meaning, Rotation):
            expected = size_of(meaning.form)
        elif isinstance(meaning, Gripper):
            expected = 1
            if meaning.open == meaning.closed:
                raise ValueError(f"{self.part}: a gripper's open and closed differ")
        if not size or size != expected:
            raise ValueError(f"{self.part}: {size} columns for {meaning}")
        if isinstance(meaning, Position | Rotation):
            has_angles = isinstance(meaning, Rotation) and meaning.form.startswith(("axis-angle", "euler"))
            unit = "m" if isinstance(meaning, Position) else "rad" if has_angles else "1"
            if any(dimension.plain_unit != unit for dimension in self.dimensions):
                raise ValueError(f"{self.part}: {meaning} is in {unit}")
        if self.default is not None and len(self.default) != size:
            raise ValueError(f"{self.part}: {len(self.default)} defaults for {size} columns")

    @property
    def key(self) -> tuple[str, str]:
        """What it has in common with its counterpart in another space: the part, and the kind of meaning."""
        return self.part, type(self.meaning).__name__.lower()

    @property
    def title(self) -> str:
        """For messages: `eef rotation`, `left_arm joints`, `gripper`, `torso`."""
        return self.part if isinstance(self.meaning, Gripper | Other) else " ".join(self.key)

    @property
    def frame(self) -> str:
        """The axes that the numbers refer to; `joint` for joints, empty where there are none."""
        if isinstance(self.meaning, Joints):
            return "joint"
        return "" if isinstance(self.meaning, Gripper) else self.meaning.frame or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A named layout of action or state arrays (..., size).

    Attributes:
        is_fixed_base: for states: the base stands still with its axes parallel to the world's, so that a change of pose
            is the same in both.
    """

    name: str
    kind: Literal["action", "state"]
    groups: tuple[Group, ...]
    description: str
    is_fixed_base: bool = False

    def __post_init__(self) -> None:
        if not self.groups or len(set(self.names)) != self.size:
            raise ValueError(f"space {self.name} needs dimensions with distinct names")
        if len({group.key for group in self.groups}) != len(self.groups):
            raise ValueError(f"space {self.name} has two groups of one part and meaning")
        poses = {(group.part, group.frame) for group in self.groups if _is_pose(group.meaning)}
        if len({part for part, _ in poses}) != len(poses):
            raise ValueError(f"space {self.name} has a part's position and rotation in different frames")

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """One a column, in order."""
        return tuple(dimension for group in self.groups for dimension in group.dimensions)

    @property
    def names(self) -> tuple[str, ...]:
        """One a column, for plots and tables."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def size(self) -> int:
        """Number of columns."""
        return sum(len(group.dimensions) for group in self.groups)

    def columns(self) -> Iterator[tuple[Group, slice]]:
        """Every group and where its columns are."""
        begin = 0
        for group in self.groups:
            yield group, slice(begin, begin + len(group.dimensions))
            begin += len(group.dimensions)

    def check_size(self, values: NDArray[Any]) -> None:
        """Raises VpdataError unless the last axis has one entry a column."""
        if values.shape[-1:] != (self.size,):
            raise VpdataError(f"values of shape {values.shape} are not in {self.name}, which has {self.size} columns.")

    def check(self, values: NDArray[Any], *, tolerance: float = TOLERANCE) -> None:
        """Raises VpdataError unless (..., size) values are finite numbers that the robot's interface takes.

        Args:
            values: to look at.
            tolerance: by how much of its range's width a value may lie outside.
        """
        self.check_size(values)
        bad = ~np.isfinite(values)
        if bad.any():
            *row, column = (int(i) for i in np.argwhere(bad)[0])
            raise VpdataError(f"{self.names[column]} is {values[*row, column]}{_at(row)}; it must be a finite number.")
        for column, dimension in enumerate(self.dimensions):
            low = -np.inf if dimension.low is None else dimension.low
            high = np.inf if dimension.high is None else dimension.high
            slack = tolerance * (high - low) if np.isfinite(high - low) else tolerance
            outside = (values[..., column] < low - slack) | (values[..., column] > high + slack)
            if outside.any():
                row = [int(i) for i in np.argwhere(outside)[0]]
                raise VpdataError(
                    f"{dimension.name} is {values[*row, column]:g}{_at(row)}, outside the [{low:g}, {high:g}] of "
                    f"{self.name}."
                )

    def clip(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """(..., size) values brought into the range of the robot's interface where it has one; the dtype is kept."""
        low = [-np.inf if dimension.low is None else dimension.low for dimension in self.dimensions]
        high = [np.inf if dimension.high is None else dimension.high for dimension in self.dimensions]
        clipped: NDArray[np.floating] = np.clip(values, np.asarray(low, values.dtype), np.asarray(high, values.dtype))
        return clipped


def _is_pose(meaning: Meaning) -> bool:
    return isinstance(meaning, Position | Rotation) and not meaning.is_change


def _require_frame(frame: Frame, *, is_change: bool) -> None:
    if frame == "end effector" and not is_change:
        raise ValueError("in its own axes a part can only change its pose")


def _at(row: Sequence[int]) -> str:
    return f" in row {', '.join(map(str, row))}" if row else ""


def dimensions(names: str, *, unit: str, low: float | None = None, high: float | None = None) -> tuple[Dimension, ...]:
    """Dimensions of one unit and range from space-separated names."""
    return tuple(Dimension(name=name, unit=unit, low=low, high=high) for name in names.split())
