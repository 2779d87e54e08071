"""What a space is: the meaning of every column of an action or state array."""

from dataclasses import dataclass
from typing import Literal


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A named layout of action or state arrays (..., size)."""

    name: str
    kind: Literal["action", "state"]
    dimensions: tuple[Dimension, ...]
    description: str

    def __post_init__(self) -> None:
        if not self.dimensions or len({d.name for d in self.dimensions}) != self.size:
            raise ValueError(f"space {self.name} needs dimensions with distinct names")

    @property
    def size(self) -> int:
        """Number of columns."""
        return len(self.dimensions)


def dimensions(names: str, *, unit: str, low: float | None = None, high: float | None = None) -> tuple[Dimension, ...]:
    """Dimensions of one unit and range from space-separated names."""
    return tuple(Dimension(name=name, unit=unit, low=low, high=high) for name in names.split())
