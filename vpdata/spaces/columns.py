"""Spaces that recordings declare by the names of their columns: `action:x,y,gripper` has three dimensions.

Enters: column names, or the name of such a space. Leaves: the one or the other. The name says all there is to know, so
nothing is registered; two recordings share such a space only if their columns have the same names in the same order.
"""

from typing import Literal

from vpdata.errors import VpdataError
from vpdata.spaces.space import Group, Other, Space, dimensions


def name_of(kind: Literal["action", "state"], columns: tuple[str, ...]) -> str:
    """The name of the space with these columns, none of which holds a comma or a blank."""
    return f"{kind}:{','.join(columns)}"


def parse(name: str) -> Space | None:
    """The space that the name spells out, None where it is another kind of name; VpdataError where columns repeat."""
    prefix, _, columns = name.partition(":")
    if not columns:
        return None
    names = columns.split(",")
    if len(set(names)) < len(names):
        raise VpdataError(f"two columns of the space {name!r} have one name.", hint="Names must differ.")
    spelled = (Group(part="columns", meaning=Other(), dimensions=dimensions(columns.replace(",", " "), unit="1")),)
    description = "Columns as a recording declares them, in units of its own."
    if prefix == "action":
        return Space(name=name, kind="action", groups=spelled, description=description)
    return Space(name=name, kind="state", groups=spelled, description=description) if prefix == "state" else None
