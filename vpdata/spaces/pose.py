"""Positions and rotations of one part of a robot, between frames, forms, units, and changes and absolute poses.

Enters: the group that is given, the one that is wanted, and the space of the state. Leaves: what makes the one from the
other, or why nothing can.

Where the part is at the position p, turned by q (the state, in its frame F), a change of d and r leads to

    in the axes of F                p + d         r q
    in those of the end effector    p + q d       q r

Robosuite's OSC controllers do the former; composed as rotations, not by adding angles.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpdata.spaces import rotation
from vpdata.spaces.space import Group, Position, Rotation, Space

Rows = NDArray[np.float64]
Parts = dict[tuple[str, str], Rows]  # the columns of every group of a space, by `Group.key`
Step = Callable[[Parts, Parts | None], Rows]  # what is given, and the state, to the columns of one wanted group


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """A group of positions or rotations, as numbers of its own and in metres or unit quaternions."""

    group: Group
    meaning: Position | Rotation

    @property
    def _scales(self) -> Rows:
        return np.array([dimension.scale for dimension in self.group.dimensions])

    def plain(self, values: Rows) -> Rows:
        values = values * self._scales
        return values if isinstance(self.meaning, Position) else rotation.to_quaternion(values, self.meaning.form)

    def own(self, plain: Rows) -> Rows:
        if isinstance(self.meaning, Rotation):
            plain = rotation.from_quaternion(plain, self.meaning.form)
        return plain / self._scales

    def absolute(self, plain: Rows, *, place: Rows, turned: Rows) -> Rows:
        """From the part's `place` (its position or rotation), and how it is turned."""
        if not self.meaning.is_change:
            return plain
        inside = self.meaning.frame == "end effector"
        if isinstance(self.meaning, Position):
            return place + (rotation.turn(turned, plain) if inside else plain)
        return rotation.compose(place, plain) if inside else rotation.compose(plain, place)

    def relative(self, absolute: Rows, *, place: Rows, turned: Rows) -> Rows:
        """The inverse of `absolute`."""
        if not self.meaning.is_change:
            return absolute
        inside = self.meaning.frame == "end effector"
        if isinstance(self.meaning, Position):
            return rotation.turn(rotation.invert(turned), absolute - place) if inside else absolute - place
        back = rotation.invert(place)
        return rotation.compose(back, absolute) if inside else rotation.compose(absolute, back)


def convert_pose(given: Group, wanted: Group, *, state: Space | None) -> Step | str:
    """What makes the columns of `wanted` from those of `given`; both are positions, or both rotations, of one part."""
    assert isinstance(given.meaning, Position | Rotation)
    assert isinstance(wanted.meaning, Position | Rotation)
    source, target = _Side(group=given, meaning=given.meaning), _Side(group=wanted, meaning=wanted.meaning)
    if (given.meaning.is_change, given.frame) == (wanted.meaning.is_change, wanted.frame):
        return _in_place(source, target)
    sides = f"from the {given.part}'s {given.meaning}, in the {given.frame}'s frame, to the {wanted.meaning}, in the "
    sides += f"{wanted.frame}'s"
    if state is None:
        return f"{sides}, takes the state"
    groups = {group.key: group for group in state.groups}
    placed, turned = groups.get(given.key), groups.get((given.part, "rotation"))
    inside = "end effector" in (given.frame, wanted.frame)
    if placed is None or (turned is None and inside):
        return f"{sides}, takes its pose, which {state.name} does not say"
    for side in (source.meaning, target.meaning):
        if not _is_known(side, placed, state):
            return f"{sides}, takes more than its pose in the {placed.frame}'s frame, which {state.name} says"
    return _by_state(source, target, placed, turned)


def _in_place(source: _Side, target: _Side) -> Step:
    """Of one frame: another form or unit. What has the same form stays as it is, to the bit where the unit does too."""
    key = source.group.key
    ours, theirs = source.meaning, target.meaning
    if isinstance(ours, Rotation) and isinstance(theirs, Rotation) and ours.form != theirs.form:
        order = rotation.reordered(ours.form, theirs.form)
        if order is not None:
            return lambda parts, _: parts[key][..., order]
        return lambda parts, _: target.own(source.plain(parts[key]))
    given, wanted = (np.array([d.scale for d in side.group.dimensions]) for side in (source, target))
    return lambda parts, _: parts[key] * (given / wanted)


def _by_state(source: _Side, target: _Side, placed: Group, turned: Group | None) -> Step:
    """By way of the absolute pose in the state's frame."""
    assert isinstance(placed.meaning, Position | Rotation)
    state_place = _Side(group=placed, meaning=placed.meaning)

    def step(parts: Parts, state: Parts | None) -> Rows:
        assert state is not None
        place = state_place.plain(state[placed.key])
        turn = np.array([0.0, 0.0, 0.0, 1.0])
        if turned is not None and isinstance(turned.meaning, Rotation):
            turn = rotation.to_quaternion(state[turned.key], turned.meaning.form)
        absolute = source.absolute(source.plain(parts[source.group.key]), place=place, turned=turn)
        return target.own(target.relative(absolute, place=place, turned=turn))

    return step


def _is_known(side: Position | Rotation, placed: Group, state: Space) -> bool:
    """Whether the state's frame is that of an absolute pose, or has the axes of a change."""
    if side.frame == placed.frame:
        return True
    if not side.is_change:
        return False
    return side.frame == "end effector" or (state.is_fixed_base and {side.frame, placed.frame} == {"base", "world"})
