"""Equal digests if, and only if, two files mean the same stream."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from vpdata.mixture.curriculum import Curriculum, Step
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.spec import MixtureSpec
from vpdata.shards.dataset import Dataset


@pytest.fixture(scope="module")
def three(sharded: Dataset, libero: Dataset, video: Dataset) -> dict[str, Dataset]:
    return {"robocasa": sharded, "libero": libero, "video": video}


@pytest.fixture(scope="module")
def base(three: dict[str, Dataset]) -> MixtureSpec:
    made = make_mixture(
        three,
        file=Path("mix.toml"),
        action_free=Fraction(1, 2),
        withhold={"robocasa": ["OpenDrawer"]},
        weights={"robocasa": Fraction(1), "libero": Fraction(3), "video": Fraction(1)},
        holdout=Fraction(1, 10),
    )
    return made.spec


def with_first(spec: MixtureSpec, **changes: object) -> MixtureSpec:
    return replace(spec, sources=(replace(spec.sources[0], **changes), *spec.sources[1:]))  # type: ignore[arg-type]


def weighted(spec: MixtureSpec, *weights: Fraction | None) -> MixtureSpec:
    return replace(spec, sources=tuple(replace(s, weight=w) for s, w in zip(spec.sources, weights, strict=True)))


def stepwise(*steps: tuple[int, Fraction, bool]) -> Curriculum:
    return Curriculum(steps=tuple(Step(at=at, share=share, ramp=ramp) for at, share, ramp in steps))


def test_another_meaning_is_another_digest(base: MixtureSpec, three: dict[str, Dataset]) -> None:
    half, third = Fraction(1, 2), Fraction(1, 3)
    natural = weighted(base, None, None, None)
    changed = [
        base,
        natural,
        replace(base, seed=1),
        replace(base, action_free=third),
        replace(base, action_free=None),
        replace(base, action_free=stepwise((0, half, False), (10**6, third, False))),
        replace(base, action_free=stepwise((0, half, False), (10**6, third, True))),
        replace(base, exhaustion="stop"),
        replace(base, exhaustion="renormalise"),
        replace(natural, temperature=Fraction(2)),
        replace(base, balance_tasks=True),
        replace(base, block_shards=2),
        replace(base, block_shards=3),
        weighted(base, Fraction(1), Fraction(2), Fraction(1)),
        with_first(base, name="other"),
        with_first(base, withhold=()),
        with_first(base, held_out=()),
        with_first(base, query="start_frame > 0"),
    ]
    streams = [Mixture.of(spec, tuple(three.values())) for spec in changed]
    assert len({stream.digest for stream in streams}) == len(changed)


def test_another_way_to_say_it_is_the_same_digest(base: MixtureSpec, three: dict[str, Dataset]) -> None:
    half = Fraction(1, 2)
    datasets = tuple(three.values())
    reference = Mixture.of(base, datasets)
    same = [
        with_first(base, path="/elsewhere"),
        with_first(base, withhold=("OpenDrawer", "OpenDrawer")),
        with_first(base, held_out=base.sources[0].held_out[::-1]),
        with_first(base, query="num_frames > 0"),
        replace(base, action_free=stepwise((0, half, False), (100, half, True), (200, half, False))),
        weighted(base, Fraction(2, 3), Fraction(2), Fraction(2, 3)),
        replace(base, block_shards=10**6),
    ]
    for spec in same:
        stream = Mixture.of(spec, datasets)
        assert stream.digest == reference.digest
        assert [stream.locate(t) for t in range(300)] == [reference.locate(t) for t in range(300)]


def test_what_is_never_shown_does_not_count(base: MixtureSpec, three: dict[str, Dataset]) -> None:
    datasets = tuple(three.values())
    alone = Mixture.of(base, datasets).labelled_only()
    assert alone.digest == Mixture.of(replace(base, action_free=Fraction(0)), datasets).digest
    assert alone.digest == Mixture.of(replace(base, action_free=Fraction(1, 9)), datasets).labelled_only().digest
    assert alone.digest != Mixture.of(replace(base, exhaustion="stop"), datasets).labelled_only().digest
