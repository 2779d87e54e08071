import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpdata.errors import MixtureError
from vpdata.mixture.curriculum import Curriculum, Step, integral, parse_action_free
from vpdata.mixture.schedule import Leaf, owner, ramp

shares = st.fractions(0, 1, max_denominator=1000)


@st.composite
def curricula(draw: st.DrawFn, largest: int = 400) -> Curriculum:
    """Steps at 0 and at most four more places, constant or in ramps."""
    places = sorted(draw(st.sets(st.integers(1, largest), max_size=4)))
    first = Step(at=0, share=draw(shares))
    return Curriculum(steps=(first, *(Step(at=at, share=draw(shares), ramp=draw(st.booleans())) for at in places)))


def share_at(curriculum: Curriculum, t: Fraction) -> Fraction:
    """The share as the steps say it, written down independently of `pieces`."""
    for step, after in itertools.pairwise(curriculum.steps):
        if step.at <= t < after.at:
            if not after.ramp:
                return step.share
            return step.share + (after.share - step.share) * (t - step.at) / (after.at - step.at)
    return curriculum.steps[-1].share


@given(curricula(), st.integers(0, 500))
def test_the_integral_is_the_sum_of_the_shares(curriculum: Curriculum, stop: int) -> None:
    middles = [share_at(curriculum, t + Fraction(1, 2)) for t in range(stop)]  # exact: no step lies inside a window
    assert integral(curriculum.pieces(), Fraction(stop)) == sum(middles)


@given(curricula(), st.integers(0, 10**6))
def test_every_span_holds_the_integral_within_one(curriculum: Curriculum, seed: int) -> None:
    node = ramp(curriculum, Leaf(component=0), Leaf(component=1), seed=seed, label="pools")
    pieces = curriculum.pieces()
    totals, sums = [0], [Fraction(0)]
    for t in range(500):
        component, index = owner(node, t)
        assert index == (totals[-1] if component == 0 else t - totals[-1])
        totals.append(totals[-1] + (component == 0))
        sums.append(integral(pieces, Fraction(t + 1)))
    off = [total - expected for total, expected in zip(totals, sums, strict=True)]
    assert max(off) - min(off) < 1  # the difference between any two ends of a span


@pytest.mark.parametrize("start", [0, 10**15, 10**15 + 499_000])
@pytest.mark.parametrize("is_ramp", [False, True])
def test_far_away_it_is_as_exact(start: int, is_ramp: bool) -> None:
    ends = Step(at=10**15 + 500_000, share=Fraction(1, 3), ramp=is_ramp)
    curriculum = Curriculum(steps=(Step(at=0, share=Fraction(9, 10)), ends))
    node = ramp(curriculum, Leaf(component=0), Leaf(component=1), seed=1, label="pools")
    pieces = curriculum.pieces()
    before = integral(pieces, Fraction(start))
    off, total = [Fraction(0)], 0
    for t in range(start, start + 2000):
        total += owner(node, t)[0] == 0
        off.append(total - (integral(pieces, Fraction(t + 1)) - before))
    assert max(off) - min(off) < 1


def test_one_share_is_a_fork() -> None:
    share = Fraction(7, 10)
    same = Curriculum(steps=(Step(at=0, share=share), Step(at=5, share=share), Step(at=9, share=share, ramp=True)))
    assert same.pieces() == Curriculum.constant(share).pieces()
    leaves = Leaf(component=0), Leaf(component=1)
    assert ramp(same, *leaves, seed=3, label="p") == ramp(Curriculum.constant(share), *leaves, seed=3, label="p")


def test_a_step_in_the_middle_of_a_ramp_changes_nothing() -> None:
    ends = Step(at=0, share=Fraction(0)), Step(at=100, share=Fraction(1), ramp=True)
    between = Step(at=30, share=Fraction(3, 10), ramp=True)
    assert Curriculum(steps=(ends[0], between, ends[1])).pieces() == Curriculum(steps=ends).pieces()


def test_what_the_option_says() -> None:
    assert parse_action_free("2/3", unit=1) == Fraction(2, 3)
    first = Step(at=0, share=Fraction(9, 10))
    steps = first, Step(at=1000, share=Fraction(1, 3)), Step(at=2000, share=Fraction(0), ramp=True)
    assert parse_action_free("0:0.9,1000:1/3,2000:0:ramp", unit=1) == Curriculum(steps=steps)
    assert parse_action_free("0:0.9,10:1/3,20:0:ramp", unit=100) == Curriculum(steps=steps)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5:0.9", "first step is not at 0"),
        ("0:0.9:ramp", "is a ramp"),
        ("0:0.9,10:0.5,10:0.4", "step at 10 does not come after the one at 10"),
        ("0:0.9,10:1.5", "is not in \\[0, 1\\]"),
        ("0:0.9,ten:0.5", "'ten:0.5' is no step"),
        ("0:0.9,-1:0.5", "'-1:0.5' is no step"),
        ("0:0.9,10:0.5:rampe", "is no step"),
        ("0:0.9,10:", "'10:' is no step"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        parse_action_free(text, unit=1)
