"""Elastic resume: worlds, workers and stops change neither which windows come nor which batch they are in."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import SPEC, fingerprint

from vpdata.errors import LoaderError, MixtureError
from vpdata.loader.loader import load
from vpdata.loader.positions import LoaderState, PositionSampler, rank_and_world_size, share
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset

BATCH_SIZE = 6  # which neither 4 nor 8 ranks share evenly
WORLDS = (1, 2, 4, 8)


@given(size=st.integers(0, 50), first=st.integers(0, 10**12), world_size=st.integers(1, 20))
def test_ranks_share_a_batch_evenly_and_without_overlap(size: int, first: int, world_size: int) -> None:
    shares = [share(first, first + size, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [position for positions in shares for position in positions] == list(range(first, first + size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def global_batch(
    mixture: Mixture, state: LoaderState, *, world_size: int, num_workers: int
) -> tuple[list[str], LoaderState]:
    """The next global batch as all ranks together load it, and the state after it."""
    got, states = [], set()
    for rank in range(world_size):
        with load(
            mixture,
            SPEC,
            batch_size=BATCH_SIZE,
            start=state.position,
            stop=32,
            num_workers=num_workers,
            rank=rank,
            world_size=world_size,
            method="fork" if num_workers == 4 else "spawn",
        ) as loader:
            assert loader.state == state  # saved at once after a restore
            batch = next(loader)
            assert batch.position == state.position
            got += [fingerprint(window) for window in batch.windows]
            states.add(loader.state)
    (after,) = states
    return got, after


@pytest.mark.parametrize("world_size", WORLDS)
def test_stopped_at_every_step_with_any_world(mixture: Mixture, expected: list[str], world_size: int) -> None:
    state = LoaderState(digest=mixture.digest, position=0)
    got = []
    while state.position < 32:
        batch, after = global_batch(mixture, state, world_size=world_size, num_workers=0)
        for other in WORLDS:
            assert global_batch(mixture, state, world_size=other, num_workers=0) == (batch, after)
        got.append(batch)
        state = LoaderState.from_json(after.to_json())
        state.check(mixture)
    assert list(itertools.chain(*got)) == expected
    assert [len(batch) for batch in got] == [6, 6, 6, 6, 6, 2]


@pytest.mark.parametrize("num_workers", [1, 4])
def test_stopped_at_every_step_while_worlds_and_workers_change(
    mixture: Mixture, expected: list[str], num_workers: int
) -> None:
    """A step with each world in turn; every step is a stop and a resume."""
    state = LoaderState(digest=mixture.digest, position=0)
    got = []
    for world_size in (2, 8, 1, 4):
        batch, state = global_batch(mixture, state, world_size=world_size, num_workers=num_workers)
        got += batch
    assert got == expected[:24]
    assert state.position == 24


@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_a_rank_gets_its_share_of_every_batch(mixture: Mixture, expected: list[str], num_workers: int) -> None:
    got: dict[int, list[list[str]]] = {}
    for rank in range(4):
        with load(
            mixture,
            SPEC,
            batch_size=BATCH_SIZE,
            start=0,
            stop=32,
            num_workers=num_workers,
            rank=rank,
            world_size=4,
            method="fork",
        ) as loader:
            got[rank] = [[fingerprint(window) for window in batch.windows] for batch in loader]
    assert [len(batches) for batches in got.values()] == [6] * 4
    assert [len(batch) for batch in got[0]] == [1, 1, 1, 1, 1, 0]
    for step in range(6):
        together = [window for rank in range(4) for window in got[rank][step]]
        assert together == expected[step * 6 : step * 6 + 6]


def test_three_resumes_in_a_row(mixture: Mixture, expected: list[str]) -> None:
    state = LoaderState(digest=mixture.digest, position=0)
    got = []
    for num_batches, num_workers in ((1, 2), (3, 0), (0, 1), (1, 1)):
        with load(mixture, SPEC, batch_size=6, start=state.position, num_workers=num_workers) as loader:
            got += [fingerprint(w) for batch in itertools.islice(loader, num_batches) for w in batch.windows]
            state = loader.state
    assert got == expected[:30]
    assert state == LoaderState(digest=mixture.digest, position=30)


def test_a_state_of_another_mixture_is_refused_with_an_override(
    mixture: Mixture, datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    other = make_mixture({"robocasa": Dataset.open(datasets["robocasa"])}, file=tmp_path / "mix.toml")
    state = LoaderState(digest=mixture.digest, position=6)
    with pytest.raises(MixtureError, match="position 6 would show other windows") as caught:
        state.check(other)
    assert "allow_changed=True" in str(caught.value)
    state.check(other, allow_changed=True)


def test_torchruns_environment() -> None:
    assert rank_and_world_size({}) == (0, 1)
    assert rank_and_world_size({"RANK": "3", "WORLD_SIZE": "4"}) == (3, 4)
    for wrong in ({"RANK": "4", "WORLD_SIZE": "4"}, {"RANK": "0"}, {"RANK": "x", "WORLD_SIZE": "2"}):
        with pytest.raises(LoaderError, match="WORLD_SIZE"):
            rank_and_world_size(wrong)


def test_a_sampler_says_what_it_makes() -> None:
    assert PositionSampler(start=3, stop=5, batch_size=4).batch(1) is None
    assert PositionSampler(start=3, stop=None, batch_size=4).batch(10**15) == range(4 * 10**15 + 3, 4 * 10**15 + 7)
    ranks = [PositionSampler(start=0, stop=12, batch_size=5, rank=rank, world_size=2) for rank in range(2)]
    assert [a + b for a, b in zip(*ranks, strict=True)] == list(PositionSampler(start=0, stop=12, batch_size=5))
