"""Action and state spaces by name, and conversions between them. One file a family of spaces.

Enters: a name, or an array with the names of the space it is in and the one it should be in. Leaves: a `Space`, or the
converted array.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError
from vpdata.spaces import aloha, columns, conversion, droid, eef_pose, libero, metaworld, osc_pose, robocasa, robomimic
from vpdata.spaces.columns import name_of
from vpdata.spaces.space import Dimension, Space

__all__ = ["Dimension", "Space", "can_convert", "convert", "load", "name_of", "names", "refusal"]

_SPACES: dict[str, Space] = {
    space.name: space
    for family in (aloha, droid, eef_pose, libero, metaworld, osc_pose, robocasa, robomimic)
    for space in family.SPACES
}


def names() -> tuple[str, ...]:
    """The names of all spaces but those that columns declare (`action:x,y`)."""
    return tuple(_SPACES)


def load(name: str) -> Space:
    """The space with that name. Raises VpdataError for an unknown one."""
    space = _SPACES.get(name) or columns.parse(name)
    if space is None:
        raise VpdataError(f"there is no action or state space {name!r}.", hint=f"Choose one of {', '.join(_SPACES)}.")
    return space


def can_convert(source: str, target: str, *, state_space: str | None = None) -> bool:
    """Whether `convert` knows the way from one space to another; every known space converts to itself."""
    return not _plan(source, target, state_space).reasons


def refusal(source: str, target: str, *, state_space: str | None = None) -> str | None:
    """Why `convert` refuses, in words; None where it does not."""
    return "; ".join(_plan(source, target, state_space).reasons) or None


def convert(
    values: NDArray[np.generic],
    source: str,
    target: str,
    *,
    state: NDArray[np.generic] | None = None,
    state_space: str | None = None,
) -> NDArray[np.generic]:
    """Converts (..., D) values from one space to another, keeping the dtype.

    Groups that both spaces have (`vpdata spaces NAME`) are brought into the target's order, units, forms and frames.
    Those that only the source has are dropped, and those that only the target has get a constant, where this is
    declared.

    Args:
        values: floating-point numbers in `source`.
        source: name of a space.
        target: name of a space.
        state: (..., S) what the robot saw before each action, which takes a change of pose to an absolute one and back.
        state_space: name of the space of `state`.

    Raises:
        VpdataError: there is no such conversion, an array is not of its space, or a row is no rotation.
    """
    plan = _plan(source, target, state_space)
    if plan.source == plan.target:
        plan.source.check_size(values)
        return values
    return conversion.convert(plan, values, state)


@lru_cache(maxsize=1024)
def _plan(source: str, target: str, state_space: str | None) -> conversion.Conversion:
    state = None if state_space is None else load(state_space)
    return conversion.Conversion.plan(load(source), load(target), state=state)
