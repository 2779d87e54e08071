from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpdata.mixture.components import Component
from vpdata.mixture.curriculum import Curriculum, Step
from vpdata.mixture.schedule import expected, owner
from vpdata.mixture.stream import build_stream

ONLY_LABELLED = Curriculum.constant(Fraction(0))


def component(name: str, size: int, *, labelled: bool, weight: Fraction) -> Component:
    """A component of `size` clips of one window each."""
    return Component(
        name=name,
        source=name,
        dataset=0,
        labelled=labelled,
        weight=weight,
        clips=np.arange(size),
        window_ends=np.arange(1, size + 1),
        num_windows=size,
        blocks=None,
    )


@st.composite
def pools(draw: st.DrawFn) -> list[Component]:
    """Up to five components a pool, of any sizes and weights."""
    return [
        component(
            f"{i}-{labelled}",
            draw(st.integers(1, 40)),
            labelled=labelled,
            weight=draw(st.fractions(Fraction(1, 9), 9, max_denominator=9)),
        )
        for labelled in (True, False)
        for i in range(draw(st.integers(1, 5)))
    ]


@st.composite
def curricula(draw: st.DrawFn) -> Curriculum:
    share = st.fractions(Fraction(1, 20), Fraction(19, 20), max_denominator=20)
    first = Step(at=0, share=draw(share))
    if draw(st.booleans()):
        return Curriculum(steps=(first,))
    edge = st.sampled_from([Fraction(0), Fraction(1)]) | share
    return Curriculum(steps=(first, Step(at=draw(st.integers(1, 60)), share=draw(edge), ramp=draw(st.booleans()))))


@given(pools(), curricula(), st.integers(0, 99))
def test_renormalise_shows_every_window_exactly_once(parts: list[Component], share: Curriculum, seed: int) -> None:
    schedule, length = build_stream(parts, share, exhaustion="renormalise", seed=seed)
    assert length == sum(part.num_windows for part in parts)
    seen: defaultdict[int, list[int]] = defaultdict(list)
    for t in range(length):
        place, index = owner(schedule, t)
        seen[place].append(index)
    assert seen == {i: list(range(part.num_windows)) for i, part in enumerate(parts)}


@given(pools(), curricula(), st.integers(0, 99))
def test_stop_ends_right_before_the_first_repetition(parts: list[Component], share: Curriculum, seed: int) -> None:
    schedule, length = build_stream(parts, share, exhaustion="stop", seed=seed)
    endless, no_end = build_stream(parts, share, exhaustion="repeat", seed=seed)
    assert no_end is None
    assert schedule == endless
    assert length is not None
    shown = [owner(schedule, t) for t in range(length + 1)]
    assert all(index < parts[place].num_windows for place, index in shown[:-1])
    place, index = shown[-1]
    assert index == parts[place].num_windows


@given(pools(), st.integers(0, 99))
def test_the_pools_keep_their_share_until_one_is_empty(parts: list[Component], seed: int) -> None:
    share = Fraction(2, 5)
    schedule, length = build_stream(parts, Curriculum.constant(share), exhaustion="renormalise", seed=seed)
    assert length is not None
    sizes = Counter[bool]()
    for part in parts:
        sizes[part.labelled] += part.num_windows
    off, had = [Fraction(0)], Counter[bool]()
    for t in range(length):
        had[parts[owner(schedule, t)[0]].labelled] += 1
        off.append(had[False] - share * (t + 1))
        if had[True] == sizes[True] or had[False] == sizes[False]:
            break
    assert max(off) - min(off) < 1
    rest = {parts[owner(schedule, u)[0]].labelled for u in range(t + 1, length)}
    assert rest <= ({True} if had[False] == sizes[False] else {False})


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 9)), min_size=2, max_size=6), st.integers(0, 99))
def test_between_two_exhaustions_the_rest_share_by_weight(parts: list[tuple[int, int]], seed: int) -> None:
    made = [component(str(i), size, labelled=True, weight=Fraction(w)) for i, (size, w) in enumerate(parts)]
    schedule, length = build_stream(made, ONLY_LABELLED, exhaustion="renormalise", seed=seed)
    assert length is not None
    left = {i: size for i, (size, _) in enumerate(parts)}
    since, got = 0, Counter[int]()
    for t in range(length):
        place, _ = owner(schedule, t)
        got[place] += 1
        left[place] -= 1
        depth = (len(got | left) - 1).bit_length()
        total = sum(parts[i][1] for i in left)
        for i in left:
            assert abs(got[i] - Fraction((t + 1 - since) * parts[i][1], total)) <= max(depth, 1)
        if not left[place]:
            del left[place]
            since, got = t + 1, Counter()


def test_the_first_to_leave_is_the_one_that_its_weight_says() -> None:
    parts = [
        component("a", 100, labelled=True, weight=Fraction(3)),
        component("b", 100, labelled=True, weight=Fraction(1)),
    ]
    schedule, length = build_stream(parts, ONLY_LABELLED, exhaustion="renormalise", seed=0)
    assert length == 200
    assert {owner(schedule, t)[0] for t in range(135, 200)} == {1}
    _, until = build_stream(parts, ONLY_LABELLED, exhaustion="stop", seed=0)
    assert until in (133, 134)


@pytest.mark.parametrize("exhaustion", ["stop", "renormalise"])
def test_a_pool_without_a_share_takes_no_part(exhaustion: str) -> None:
    parts = [
        component("a", 10, labelled=True, weight=Fraction(1)),
        component("b", 3, labelled=False, weight=Fraction(1)),
    ]
    schedule, length = build_stream(parts, ONLY_LABELLED, exhaustion=exhaustion, seed=0)
    assert length == 10
    assert [owner(schedule, t) for t in range(10)] == [(0, i) for i in range(10)]


@given(pools(), curricula(), st.integers(0, 99), st.sampled_from(["repeat", "stop", "renormalise"]))
def test_what_is_expected_is_what_comes(parts: list[Component], share: Curriculum, seed: int, exhaustion: str) -> None:
    schedule, length = build_stream(parts, share, exhaustion=exhaustion, seed=seed)
    got = Counter[int]()
    for t in range(min(length or 150, 150)):
        got[owner(schedule, t)[0]] += 1
        if t % 10 == 0:
            wanted = expected(schedule, Fraction(t + 1))
            assert sum(wanted.values()) == t + 1
            assert all(abs(got[i] - count) <= 4 * len(parts) for i, count in wanted.items())


@pytest.mark.parametrize("exhaustion", ["stop", "renormalise"])
def test_huge_components_need_no_time(exhaustion: str) -> None:
    parts = [component(name, 5, labelled=name != "c", weight=Fraction(w)) for name, w in (("a", 1), ("b", 2), ("c", 1))]
    for part, size in zip(parts, (10**15, 10**14, 3 * 10**14), strict=True):
        object.__setattr__(part, "num_windows", size)
    share = Curriculum.constant(Fraction(1, 3))
    schedule, length = build_stream(parts, share, exhaustion=exhaustion, seed=0)
    assert length is not None
    if exhaustion == "renormalise":
        assert length == 14 * 10**14
        assert owner(schedule, length - 1) == (0, 10**15 - 1)
    else:
        assert abs(length - 10**14 * 3 / 2 * 3 / 2) < 10
        assert owner(schedule, length) == (1, 10**14)
