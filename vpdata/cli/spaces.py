"""`vpdata spaces`: what the numbers of actions and states mean, and which convert to which."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from vpdata import spaces
from vpdata.cli import output
from vpdata.spaces import Space

EPILOG = """
Examples:

`vpdata spaces`

`vpdata spaces osc_pose_action`

`vpdata spaces "action:pan,tilt,gripper" --json`
"""


def show_spaces(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One space, in full. Default: list all.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show action and state spaces: what every number means, in which unit and frame, and what converts to what.

    A conversion that takes the state composes each action with the pose that the robot saw before it.
    """
    if name is None:
        rows = [_summary(spaces.load(known)) for known in spaces.names()]
        if as_json:
            output.print_json(rows)
        else:
            output.print_table(rows)
        return
    space = spaces.load(name)
    columns, conversions = list(_columns(space)), list(_conversions(space))
    if as_json:
        output.print_json(_summary(space) | {"columns": columns, "conversions": conversions})
        return
    output.print_table(columns, title=f"{space.name}: {space.description}")
    shown = (row | {"with state": ", ".join(row["with state"])} for row in conversions)
    output.print_table(list(shown), title="\nConversions")


def _summary(space: Space) -> dict[str, Any]:
    return {"name": space.name, "kind": space.kind, "size": space.size, "description": space.description}


def _columns(space: Space) -> Iterator[dict[str, Any]]:
    for group in space.groups:
        for dimension in group.dimensions:
            yield {
                "name": dimension.name,
                "part": group.part,
                "is": str(group.meaning),
                "frame": group.frame,
                "unit": dimension.unit,
                "low": dimension.low,
                "high": dimension.high,
            }


def _conversions(space: Space) -> Iterator[dict[str, Any]]:
    """Every other space of the kind: whether this one converts to it, alone or with which state, or else why not."""
    states = [known for known in spaces.names() if spaces.load(known).kind == "state"]
    for target in spaces.names():
        if target == space.name or spaces.load(target).kind != space.kind:
            continue
        alone = spaces.can_convert(space.name, target)
        helpful = [state for state in states if spaces.can_convert(space.name, target, state_space=state)]
        yield {
            "to": target,
            "converts": "yes" if alone else "with the state" if helpful else "no",
            "with state": [] if alone else helpful,
            "because": None if alone or helpful else spaces.refusal(space.name, target),
        }
