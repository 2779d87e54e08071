from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpdata.mixture.schedule import Leaf, Node, balanced, fork, owner

RATIOS = [Fraction(7, 10), Fraction(1, 2), Fraction(1, 3), Fraction(1, 1000), Fraction(123457, 1000003)]


def leaves(size: int) -> list[Leaf]:
    return [Leaf(component=i) for i in range(size)]


def counts(node: Node, start: int, length: int) -> Counter[int]:
    return Counter(owner(node, t)[0] for t in range(start, start + length))


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("start", [0, 10**15])
def test_every_span_holds_the_share_within_one(ratio: Fraction, start: int) -> None:
    for seed in range(5):
        node = fork(ratio, *leaves(2), seed=seed, label="pools")
        hits = [owner(node, t)[0] == 0 for t in range(start, start + 2000)]
        totals = [0]
        for hit in hits:
            totals.append(totals[-1] + hit)
        for length in (1, 2, 3, 7, 10, 64, 999, 2000):
            spans = [totals[i + length] - totals[i] for i in range(0, 2001 - length)]
            assert all(abs(count - ratio * length) < 1 for count in spans)


@given(
    st.lists(st.integers(1, 2500), min_size=1, max_size=9),
    st.integers(0, 10**18),
    st.integers(0, 300),
    st.integers(0, 5),
)
def test_components_get_their_share_at_any_place(weights: list[int], start: int, length: int, seed: int) -> None:
    node = balanced(leaves(len(weights)), weights, seed=seed, label="pool")
    got = counts(node, start, length)
    depth = (len(weights) - 1).bit_length()
    for i, weight in enumerate(weights):
        assert abs(got[i] - Fraction(length * weight, sum(weights))) <= depth


@given(st.integers(1, 9), st.integers(0, 10**17), st.integers(0, 3))
def test_every_component_numbers_its_own_positions_without_gap(size: int, start: int, seed: int) -> None:
    node = balanced(leaves(size), range(1, size + 1), seed=seed, label="pool")
    after: dict[int, int] = {}
    for t in range(start, start + 200):
        component, index = owner(node, t)
        assert index == after.get(component, index)
        after[component] = index + 1


def test_numbering_begins_at_zero() -> None:
    node = balanced(leaves(3), [1, 2, 4], seed=1, label="pool")
    first: dict[int, int] = {}
    for t in range(50):
        component, index = owner(node, t)
        first.setdefault(component, index)
    assert first == {0: 0, 1: 0, 2: 0}


def test_the_seed_moves_the_phase() -> None:
    patterns = {
        tuple(owner(fork(Fraction(7, 10), *leaves(2), seed=seed, label="pools"), t)[0] for t in range(10))
        for seed in range(100)
    }
    assert len(patterns) == 10


def test_negative_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        owner(Leaf(component=0), -1)


def test_order_is_stable_across_releases() -> None:
    first = balanced(leaves(2), [2, 1], seed=0, label="p")
    node = fork(Fraction(7, 10), first, Leaf(component=2), seed=0, label="pools")
    assert [owner(node, t) for t in range(8)] == [(2, 0), (1, 0), (0, 0), (2, 1), (0, 1), (1, 1), (0, 2), (2, 2)]
