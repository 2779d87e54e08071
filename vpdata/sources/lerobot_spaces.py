"""The space of a LeRobot feature, from the names that `info.json` gives its columns.

Enters: a feature and what is known of the robot. Leaves: the name of a space.

Columns named as those of exactly one space of `vpdata/spaces/` are in that space. Other names declare a space of their
own, which recordings with the same names share. Names that only number the columns (`motor_0`, `motor_1`, or none) say
nothing without the robot, so it is written before them; without a known robot the data set is.
"""

import re
from typing import Literal

from vpdata import spaces
from vpdata.errors import SourceError, VpdataError
from vpdata.sources.lerobot_meta import INFO, Feature, Layout

_NUMBERED = re.compile(r"(.*?)[0-9]+")


def space_of(kind: Literal["action", "state"], feature: Feature, layout: Layout, *, dataset: str) -> str:
    """The name of the feature's space.

    Args:
        feature: of shape (D,).
        dataset: the name of the data set, which stands for the robot where that is unknown.

    Raises:
        SourceError: the feature says that it is in a space that there is not, or that has other columns.
    """
    if feature.space is not None:
        return _declared(kind, feature, feature.space, layout)
    names = tuple(_written(name) for name in feature.names or ())
    if len(set(names)) != len(names):
        names = ()
    known = [
        space.name for space in map(spaces.load, spaces.names()) if space.kind == kind and _columns(space) == names
    ]
    if len(known) == 1:
        return known[0]
    if not names or _only_number(names):
        is_known = layout.robot_type.lower() not in ("", "unknown")
        robot = _written(layout.robot_type if is_known else dataset.rpartition("/")[2])
        names = tuple(f"{robot}_{name}" for name in names or map(str, range(feature.shape[0])))
    return spaces.name_of(kind, names)


def _declared(kind: Literal["action", "state"], feature: Feature, name: str, layout: Layout) -> str:
    try:
        space = spaces.load(name)
    except VpdataError as error:
        raise SourceError(error.what, path=layout.root / INFO, hint=error.hint) from error
    if space.kind != kind or (space.size,) != feature.shape:
        what = f"{feature.key!r} of shape {feature.shape} is not in the {space.kind} space {name} ({space.size})."
        raise SourceError(what, path=layout.root / INFO, hint="Correct it, or leave the key 'space' out.")
    return name


def _columns(space: spaces.Space) -> tuple[str, ...]:
    return tuple(dimension.name for dimension in space.dimensions)


def _written(name: str) -> str:
    """As a column of a space may be called."""
    return re.sub("[^A-Za-z0-9_.-]+", "_", name)


def _only_number(names: tuple[str, ...]) -> bool:
    """Whether the names are the same but for a number at their end."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    return len({match[1] if match else name for match, name in zip(found, names, strict=True)}) == 1 and all(found)
