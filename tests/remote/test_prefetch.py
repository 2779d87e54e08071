"""Prefetching: what is fetched before it is read, how far ahead, and what becomes of errors."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from http_server import Fault, Server

from vpdata.errors import ShardError
from vpdata.loader.loader import load
from vpdata.loader.prefetch import Prefetcher
from vpdata.loader.window import WindowSpec
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vpdata.shards.remote import BLOCK_BYTES

SPEC = WindowSpec(num_frames=2, stride=2, horizon=2, height=32, width=32, cameras=("wrist",))


@pytest.fixture
def mixture(mixture_file: Path, server: Server) -> Mixture:
    opened = Mixture.open(mixture_file)
    server.requests.clear()
    return opened


@contextmanager
def prefetching(mixture: Mixture, *, lookahead: int) -> Iterator[Prefetcher]:
    prefetcher = Prefetcher(mixture, itertools.count(), lookahead=lookahead)
    try:
        yield prefetcher
    finally:
        prefetcher.close()


def shards_of(mixture: Mixture, positions: range) -> set[str]:
    """The shards of these windows; with blocks this large, a shard is a block."""
    refs = [mixture.locate(position) for position in positions]
    return {mixture.datasets[ref.dataset].clips[ref.clip].shard for ref in refs}


def asked(server: Server) -> set[str]:
    return {Path(request.path).name for request in server.requests if request.range}


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def quiet(server: Server) -> set[str]:
    """What was asked for once nothing more is."""
    before = -1
    while before != len(server.requests):
        before = len(server.requests)
        time.sleep(0.2)
    return asked(server)


def test_it_stays_within_its_lookahead(mixture: Mixture, server: Server) -> None:
    with prefetching(mixture, lookahead=3) as prefetcher:
        assert quiet(server) == shards_of(mixture, range(3))
        prefetcher.advance(4)
        assert quiet(server) == shards_of(mixture, range(3)) | shards_of(mixture, range(4, 7))
    prefetcher.advance(1000)
    assert quiet(server) == shards_of(mixture, range(3)) | shards_of(mixture, range(4, 7))


def test_it_stays_within_half_of_the_cache(mixture: Mixture, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPDATA_CACHE_LIMIT", str(4 * BLOCK_BYTES))
    with prefetching(mixture, lookahead=1000) as prefetcher:
        first = quiet(server)
        assert len(first) == 2
        last = next(t for t in itertools.count() if len(shards_of(mixture, range(t + 1))) == 3)
        assert first == shards_of(mixture, range(last))
        prefetcher.advance(last)
        assert len(quiet(server)) > 2


def test_windows_that_were_prefetched_need_no_network(mixture: Mixture, server: Server) -> None:
    with prefetching(mixture, lookahead=8):
        quiet(server)
    server.fault = lambda *_: Fault(status=503)
    for batch in itertools.islice(load(mixture, SPEC, batch_size=4, start=0, stop=8, num_workers=0), 2):
        assert len(batch.windows) == 4


def test_training_starts_before_the_set_is_here(
    mixture: Mixture, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPDATA_CACHE_LIMIT", str(4 * BLOCK_BYTES))  # or the lookahead would be all of this set
    num_shards = len(mixture.datasets[0].manifest.shards)
    with load(mixture, SPEC, batch_size=1, start=0, num_workers=0) as loader:
        next(loader)
        fetched = quiet(server)
        assert shards_of(mixture, range(1)) <= fetched
        assert len(fetched) == 2 < num_shards
        ranges = [request.range for request in server.requests]
        assert len(ranges) == 2  # and nothing of them twice
        for position in itertools.takewhile(
            lambda t: len(shards_of(mixture, range(t))) < num_shards, itertools.count(1)
        ):
            next(loader)
            assert shards_of(mixture, range(position + 1)) <= asked(server)
        assert len(quiet(server)) == num_shards == len(server.requests)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_those_of_the_folder(mixture: Mixture, local: Dataset, num_workers: int) -> None:
    here = Mixture.of(mixture.spec, [local])
    remote = load(mixture, SPEC, batch_size=5, start=3, stop=23, num_workers=num_workers)
    expected = load(here, SPEC, batch_size=5, start=3, stop=23, num_workers=0)
    for ours, theirs in zip(remote, expected, strict=True):
        assert ours.position == theirs.position
        for window, wanted in zip(ours.windows, theirs.windows, strict=True):
            assert (window.key, window.start, window.position) == (wanted.key, wanted.start, wanted.position)
            assert np.array_equal(window.frames["wrist"], wanted.frames["wrist"])
            assert np.array_equal(window.actions, wanted.actions)  # type: ignore[arg-type]


def test_an_error_comes_when_the_window_is_read(
    mixture: Mixture, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = mixture.datasets[0].clips[mixture.locate(0).clip].shard
    server.fault = lambda request, _: Fault(status=403) if request.path.endswith(bad) else None
    with prefetching(mixture, lookahead=20) as prefetcher:
        assert quiet(server) == shards_of(mixture, range(20))
        prefetcher.advance(1)
        with pytest.raises(ShardError, match="answered 403"):
            next(load(mixture, SPEC, batch_size=1, start=0, num_workers=0))
    assert capfd.readouterr().err == ""


def test_it_ends_with_the_stream_and_when_closed(mixture: Mixture) -> None:
    def running() -> int:
        return sum(thread.name == "prefetch" for thread in threading.enumerate())

    until(lambda: running() == 0)
    Prefetcher(mixture, range(3), lookahead=10)
    until(lambda: running() == 0)
    endless = Prefetcher(mixture, itertools.count(), lookahead=1)
    assert running() > 0
    endless.close()
    until(lambda: running() == 0)


def test_no_lookahead_is_wrong(mixture: Mixture) -> None:
    with pytest.raises(ValueError, match="lookahead = 0"):
        Prefetcher(mixture, range(3), lookahead=0)
