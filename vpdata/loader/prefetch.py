"""A mixture and the positions that will be read enter; the blocks that hold their clips come into the cache in time."""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from vpdata.errors import EndOfStream, VpdataError
from vpdata.mixture.mixture import Mixture
from vpdata.schema import Clip
from vpdata.shards.cache import Cache
from vpdata.shards.dataset import Dataset
from vpdata.shards.remote import BLOCK_BYTES
from vpdata.shards.store import is_url

NUM_THREADS = 4

_Block = tuple[int, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coming:
    """A position that is fetched or will be, and its block, None where nothing is remote."""

    position: int
    block: _Block | None


class Prefetcher:
    """Threads that fetch what is not in the cache, in the order of reading, ahead of the reader.

    They stay within `lookahead` positions and within half of the cache's limit. An error of theirs is not reported:
    whoever reads the window meets it.

    Args:
        mixture: the stream.
        positions: those that will be read, in order: of this rank, all if it is the only one.
        lookahead: positions to be ahead of the reader, >= 1.
    """

    def __init__(self, mixture: Mixture, positions: Iterable[int], *, lookahead: int) -> None:
        if lookahead < 1:
            raise ValueError(f"lookahead = {lookahead} is not positive")
        self._mixture = mixture
        self._positions = iter(positions)
        self._lookahead = lookahead
        self._max_blocks = max(1, Cache.default().limit // 2 // BLOCK_BYTES)
        self._coming: deque[_Coming] = deque()
        self._blocks: Counter[_Block] = Counter()
        self._reached = 0
        self._closed = False
        self._bug: Exception | None = None
        self._changed = threading.Condition()
        for _ in range(NUM_THREADS):
            threading.Thread(target=self._run, name="prefetch", daemon=True).start()

    def advance(self, position: int) -> None:
        """Says that all positions before this one have been read."""
        with self._changed:
            if self._bug is not None:
                raise self._bug
            self._reached = position
            while self._coming and self._coming[0].position < position:
                block = self._coming.popleft().block
                if block is not None:
                    self._blocks[block] -= 1
                    if not self._blocks[block]:
                        del self._blocks[block]
            self._changed.notify_all()

    def close(self) -> None:
        """Fetches nothing more; downloads under way come to their end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (coming := self._next()) is not None:
                dataset, clip = coming
                try:
                    dataset.prefetch(clip)
                except VpdataError:
                    continue  # the reader asks for the same bytes and gets the same error
        except Exception as error:
            self._bug = error

    def _next(self) -> tuple[Dataset, Clip] | None:
        """The next clip to fetch, once it is near enough; None at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or self._is_near())
                position = None if self._closed else next(self._positions, None)
                if position is None:
                    return None
                if position < self._reached:
                    continue
                try:
                    ref = self._mixture.locate(position)
                except EndOfStream:
                    return None
                dataset = self._mixture.datasets[ref.dataset]
                if not is_url(dataset.place):
                    self._expect(position, None)
                    continue
                clip = dataset.clips[ref.clip]
                self._expect(position, (ref.dataset, clip.shard, clip.members[0].offset // BLOCK_BYTES))
                return dataset, clip

    def _is_near(self) -> bool:
        return len(self._coming) < self._lookahead and len(self._blocks) < self._max_blocks

    def _expect(self, position: int, block: _Block | None) -> None:
        self._coming.append(_Coming(position=position, block=block))
        if block is not None:
            self._blocks[block] += 1
