"""Action and state spaces by name, and conversions between them. One file a family of spaces.

Enters: a name, or an array with the names of the space it is in and the one it should be in. Leaves: a `Space`, or the
converted array.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError
from vpdata.spaces import aloha, columns, libero, osc_pose, robocasa, robomimic
from vpdata.spaces.columns import name_of
from vpdata.spaces.space import Dimension, Space

__all__ = ["Dimension", "Space", "can_convert", "convert", "load", "name_of", "names"]

_SPACES: dict[str, Space] = {
    space.name: space
    for family in (aloha.SPACES, libero.SPACES, osc_pose.SPACES, robocasa.SPACES, robomimic.SPACES)
    for space in family
}
_CONVERSIONS: dict[tuple[str, str], Callable[[NDArray[np.generic]], NDArray[np.generic]]] = {
    ("robocasa_panda_omron_action", "osc_pose_action"): robocasa.to_osc_pose,
    ("osc_pose_action", "robocasa_panda_omron_action"): robocasa.from_osc_pose,
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


def can_convert(source: str, target: str) -> bool:
    """Whether `convert` knows the way from one space to another; every known space converts to itself."""
    return load(source) == load(target) or (source, target) in _CONVERSIONS


def convert(values: NDArray[np.generic], source: str, target: str) -> NDArray[np.generic]:
    """Converts (..., D) values from one space to another, keeping the dtype.

    Raises:
        VpdataError: there is no such conversion, or D is not the size of `source`.
    """
    if not can_convert(source, target):
        raise VpdataError(f"there is no conversion from {source} to {target}.")
    if values.shape[-1:] != (load(source).size,):
        raise VpdataError(f"values of shape {values.shape} are not in {source}, which has {load(source).size} columns.")
    return values if source == target else _CONVERSIONS[source, target](values)
