"""Exact shares enter; which component owns position t, and how many positions it had before, leave.

A split with ratio p/q gives its first branch the positions k at which floor((k p + phase) / q) steps up (Bresenham's
line), so any span of L positions holds L p/q of them to within less than one. Splits nest into a balanced binary tree;
a branch numbers its own positions 0, 1, 2, ... and splits those again. All in integers: exact at any t, no memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from vpdata.mixture.hashing import keyed_integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A fork: `first` gets `share` of the positions, `second` the others; `phase` in [0, share's denominator)."""

    share: Fraction
    phase: int
    first: "Node"
    second: "Node"


Node = int | Split
"""A component's number, or a fork."""


def split(share: Fraction, first: Node, second: Node, *, seed: int, label: str) -> Split:
    """A fork whose phase comes from the seed and the label, so that quotas do not line up with batches."""
    phase = keyed_integer("phase", seed, label) % share.denominator
    return Split(share=share, phase=phase, first=first, second=second)


def balanced(components: Sequence[int], weights: Sequence[Fraction], *, seed: int, label: str) -> Node:
    """A tree that shares positions among components in proportion to their positive weights."""
    if len(components) == 1:
        return components[0]
    middle = len(components) // 2
    first = balanced(components[:middle], weights[:middle], seed=seed, label=f"{label}.0")
    second = balanced(components[middle:], weights[middle:], seed=seed, label=f"{label}.1")
    return split(sum(weights[:middle], Fraction(0)) / sum(weights), first, second, seed=seed, label=label)


def owner(node: Node, position: int) -> tuple[int, int]:
    """The component that owns `position`, and how many positions before it were that component's.

    Raises:
        ValueError: a negative position.
    """
    if position < 0:
        raise ValueError(f"position {position} is negative")
    while isinstance(node, Split):
        p, q = node.share.numerator, node.share.denominator
        num_before = (position * p + node.phase) // q
        if (position * p + p + node.phase) // q > num_before:
            node, position = node.first, num_before
        else:
            node, position = node.second, position - num_before
    return node, position
