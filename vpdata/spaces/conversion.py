"""The way from one space to another, found group by group.

Enters: two spaces, and where it is needed that of the state. Leaves: a `Conversion`, or every reason why there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError
from vpdata.spaces.pose import Parts, Step, convert_pose
from vpdata.spaces.space import Gripper, Group, Position, Rotation, Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What makes every group of `target`, in order; `reasons` why there is no way, empty where there is one."""

    source: Space
    target: Space
    state: Space | None
    steps: tuple[Step, ...]
    reasons: tuple[str, ...]

    @classmethod
    def plan(cls, source: Space, target: Space, *, state: Space | None) -> "Conversion":
        """Looks for the way. What is lost, or made of nothing, must be declared by its group."""
        given = {group.key: group for group in source.groups}
        wanted = {group.key: group for group in target.groups}
        reasons = [] if source.kind == target.kind else [f"one is of {source.kind}s, the other of {target.kind}s"]
        lost = [group for key, group in given.items() if key not in wanted and not group.may_be_dropped]
        missing = [group for key, group in wanted.items() if key not in given and group.default is None]
        if lost:
            reasons.append(f"{_named(lost)} would be lost")
        if missing:
            reasons.append(f"nothing says {_named(missing)}")
        steps = []
        for key, group in wanted.items():
            if key in given:
                step = _step(given[key], group, state=state)
                if isinstance(step, str):
                    reasons.append(step)
                else:
                    steps.append(step)
            elif group.default is not None:
                steps.append(_constant(group.default))
        return cls(source=source, target=target, state=state, steps=tuple(steps), reasons=tuple(reasons))

    def apply(self, values: NDArray[np.generic], state: NDArray[np.generic] | None) -> NDArray[np.generic]:
        """(..., source.size) to (..., target.size) in the dtype of `values`; computed in float64."""
        parts = _parts(self.source, values)
        seen = None if state is None or self.state is None else _parts(self.state, state)
        made = [step(parts, seen) for step in self.steps]
        return np.concatenate(made, axis=-1).astype(values.dtype)


def _parts(space: Space, values: NDArray[np.generic]) -> Parts:
    wide = values.astype(np.float64)
    return {group.key: wide[..., columns] for group, columns in space.columns()}


def _named(groups: Sequence[Group]) -> str:
    return "the " + ", ".join(dict.fromkeys(group.title for group in groups))


def _step(given: Group, wanted: Group, *, state: Space | None) -> Step | str:
    """What makes the columns of `wanted`, or why nothing can."""
    if isinstance(given.meaning, Gripper) and isinstance(wanted.meaning, Gripper):
        return _of_gripper(given.key, given.meaning, wanted.meaning)
    if isinstance(given.meaning, Position | Rotation):
        return convert_pose(given, wanted, state=state)
    return _of_names(given, wanted)


def _constant(values: tuple[float, ...]) -> Step:
    row = np.asarray(values, dtype=np.float64)
    return lambda parts, _: np.broadcast_to(row, (*next(iter(parts.values())).shape[:-1], len(row)))


def _of_gripper(key: tuple[str, str], given: Gripper, wanted: Gripper) -> Step | str:
    if given.measure != wanted.measure:
        return f"a gripper's {given.measure} does not say its {wanted.measure}"
    factor = (wanted.open - wanted.closed) / (given.open - given.closed)
    offset = wanted.closed - factor * given.closed
    return lambda parts, _: parts[key] * factor + offset


def _of_names(given: Group, wanted: Group) -> Step | str:
    """Columns that mean what their names say: the same ones in the same order, whose units may differ by a factor."""
    theirs, ours = ([(d.name, d.plain_unit) for d in group.dimensions] for group in (given, wanted))
    if theirs != ours or given.frame != wanted.frame:
        return f"the {given.title} are {', '.join(n for n, _ in theirs)}, not {', '.join(n for n, _ in ours)}"
    ratio = np.array([d.scale for d in given.dimensions]) / [d.scale for d in wanted.dimensions]
    return lambda parts, _: parts[given.key] * ratio


def convert(
    conversion: Conversion, values: NDArray[np.generic], state: NDArray[np.generic] | None
) -> NDArray[np.generic]:
    """Checks the arrays and applies the conversion.

    Raises:
        VpdataError: there is none, an array is not of its space, or a row holds no rotation where there should be one.
    """
    source, target = conversion.source, conversion.target
    if conversion.reasons:
        raise VpdataError(
            f"there is no conversion from {source.name} to {target.name}: {'; '.join(conversion.reasons)}."
        )
    source.check_size(values)
    if not np.issubdtype(values.dtype, np.floating):
        raise VpdataError(f"values of dtype {values.dtype} cannot be converted; they must be floating-point numbers.")
    if conversion.state is not None and (state is None or state.shape != (*values.shape[:-1], conversion.state.size)):
        raise VpdataError(
            f"a state of shape {None if state is None else state.shape} does not go with values of shape "
            f"{values.shape}; {conversion.state.name} has {conversion.state.size} columns."
        )
    return conversion.apply(values, state)
