"""Exact shares enter; which component owns position t, and how many positions it had before, leave.

A fork with share p/q gives its first branch the positions k at which floor((k p + phase) / q) steps up (Bresenham's
line), so any span of L positions holds L p/q of them to within less than one. A ramp does the same with the integral
of a share that changes. Forks nest into a balanced binary tree; a branch numbers its own positions 0, 1, 2, ... and
divides those again. Where components leave, a chain holds one tree after the other. All in integers: exact at any t.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from vpdata.mixture.curriculum import Curriculum, Piece, integral
from vpdata.mixture.hashing import keyed_integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """All positions are one component's, which has had `first` before."""

    component: int
    first: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """`first` gets the share p / q of the positions, `second` the others; `phase` in [0, q)."""

    p: int
    q: int
    phase: int
    first: "Node"
    second: "Node"

    def turn(self, position: int) -> tuple[int, bool]:
        """How many positions before this one were `first`'s, and whether this one is."""
        num_before, rest = divmod(position * self.p + self.phase, self.q)
        return num_before, rest + self.p >= self.q

    def expected(self, stop: Fraction) -> Fraction:
        """What `first` should get of positions [0, stop)."""
        return stop * self.p / self.q


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A fork whose share changes with the position.

    Attributes:
        pieces: of the share.
        starts: of the pieces.
        curves: (a, b, c) of each piece: `first` has floor((a x^2 + b x + c) / q) positions before start + x.
        q: the common denominator.
    """

    pieces: tuple[Piece, ...]
    starts: tuple[int, ...]
    curves: tuple[tuple[int, int, int], ...]
    q: int
    first: "Node"
    second: "Node"

    def turn(self, position: int) -> tuple[int, bool]:
        """How many positions before this one were `first`'s, and whether this one is."""
        i = bisect_right(self.starts, position) - 1
        x = position - self.starts[i]
        a, b, c = self.curves[i]
        num_before, rest = divmod((a * x + b) * x + c, self.q)
        return num_before, rest + a * (2 * x + 1) + b >= self.q

    def expected(self, stop: Fraction) -> Fraction:
        """What `first` should get of positions [0, stop)."""
        return integral(self.pieces, stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One node after the other: `nodes[i]` from position `starts[i]` on, its own numbering beginning at `firsts[i]`."""

    starts: tuple[int, ...]
    firsts: tuple[int, ...]
    nodes: tuple["Node", ...]


Node = Leaf | Fork | Ramp | Chain


def owner(node: Node, position: int) -> tuple[int, int]:
    """The component that owns `position`, and how many positions before it were that component's.

    Raises:
        ValueError: a negative position.
    """
    if position < 0:
        raise ValueError(f"position {position} is negative")
    while not isinstance(node, Leaf):
        if isinstance(node, Chain):
            i = bisect_right(node.starts, position) - 1
            position += node.firsts[i] - node.starts[i]
            node = node.nodes[i]
            continue
        num_before, is_first = node.turn(position)
        node, position = (node.first, num_before) if is_first else (node.second, position - num_before)
    return node.component, node.first + position


def fork(share: Fraction, first: Node, second: Node, *, seed: int, label: str) -> Fork:
    """A fork whose phase comes from the seed and the label, so that quotas do not line up with batches."""
    p, q = share.numerator, share.denominator
    return Fork(p=p, q=q, phase=_phase(seed, label) % q, first=first, second=second)


def ramp(curriculum: Curriculum, first: Node, second: Node, *, seed: int, label: str) -> Fork | Ramp:
    """A fork whose share follows a curriculum."""
    pieces = curriculum.pieces()
    if len(pieces) == 1:
        return fork(pieces[0].share, first, second, seed=seed, label=label)
    terms = [(piece.slope / 2, piece.share, piece.before) for piece in pieces]
    q = math.lcm(*(value.denominator for term in terms for value in term))
    phase = _phase(seed, label) % q
    return Ramp(
        pieces=pieces,
        starts=tuple(piece.start for piece in pieces),
        curves=tuple((int(a * q), int(b * q), int(c * q) + phase) for a, b, c in terms),
        q=q,
        first=first,
        second=second,
    )


def balanced(leaves: Sequence[Leaf], weights: Sequence[int], *, seed: int, label: str) -> Node:
    """A tree that shares positions among leaves in proportion to their positive weights."""
    if len(leaves) == 1:
        return leaves[0]
    middle = len(leaves) // 2
    first = balanced(leaves[:middle], weights[:middle], seed=seed, label=f"{label}.0")
    second = balanced(leaves[middle:], weights[middle:], seed=seed, label=f"{label}.1")
    return fork(Fraction(sum(weights[:middle]), sum(weights)), first, second, seed=seed, label=label)


def renormalised(
    components: Sequence[int], weights: Sequence[int], sizes: Sequence[int], *, seed: int, label: str
) -> Chain:
    """Balanced trees in a chain: a component that has had `size` positions leaves, the others share its part."""
    weight_of = dict(zip(components, weights, strict=True))
    last = {component: size - 1 for component, size in zip(components, sizes, strict=True)}
    present = dict.fromkeys(components, 0)
    starts, nodes = [0], []
    while present:
        leaves = [Leaf(component=component, first=first) for component, first in present.items()]
        nodes.append(balanced(leaves, [weight_of[component] for component in present], seed=seed, label=label))
        length = earliest(nodes[-1], last) + 1
        starts.append(starts[-1] + length)
        present = {component: had for component, had in had_by(nodes[-1], length).items() if had <= last[component]}
    return Chain(starts=tuple(starts[:-1]), firsts=(0,) * len(nodes), nodes=tuple(nodes))


def earliest(node: Node, goals: Mapping[int, int]) -> int:
    """The first position of a tree without chains that is some component's number `goals[component]`."""
    assert not isinstance(node, Chain)
    if isinstance(node, Leaf):
        return goals[node.component] - node.first
    first, second = earliest(node.first, goals), earliest(node.second, goals)

    def reached(position: int) -> bool:
        num_first, _ = node.turn(position + 1)
        return num_first > first or position + 1 - num_first > second

    return bisect_left(range(first + second + 1), True, key=reached)


def had_by(node: Node, stop: int) -> dict[int, int]:
    """How many positions of a tree without chains each component has had before `stop`, and its leaf's `first`."""
    assert not isinstance(node, Chain)
    if isinstance(node, Leaf):
        return {node.component: node.first + stop}
    num_first, _ = node.turn(stop)
    return had_by(node.first, num_first) | had_by(node.second, stop - num_first)


def expected(node: Node, stop: Fraction) -> dict[int, Fraction]:
    """How many of positions [0, stop) each component should get, exactly."""
    if isinstance(node, Leaf):
        return {node.component: stop}
    if isinstance(node, Chain):
        ends = (*(Fraction(start) for start in node.starts[1:]), stop)
        total: dict[int, Fraction] = {}
        for start, end, first, link in zip(node.starts, ends, node.firsts, node.nodes, strict=True):
            had, has = expected(link, Fraction(first)), expected(link, first + max(min(stop, end) - start, Fraction(0)))
            for component in has:
                total[component] = total.get(component, Fraction(0)) + has[component] - had[component]
        return total
    num_first = node.expected(stop)
    return expected(node.first, num_first) | expected(node.second, stop - num_first)


@lru_cache(maxsize=4096)
def _phase(seed: int, label: str) -> int:
    return keyed_integer("phase", seed, label)
