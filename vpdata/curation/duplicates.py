"""Hashes of footage enter, the pairs that may show the same footage leave: every candidate, found without decoding.

A recording is a sequence of hashes, one every PERIOD_SECONDS. Two recordings are candidates where, at one offset in
time, enough of their hashes differ in at most `max_distance` bits. Recordings of one scene are candidates too: whether
they show the same moment is for `vpdata.curation.footage` to say, which looks at the frames.

All hashes answer, and all ask: every QUERY_EVERY-th for those that differ in at most `max_distance` bits, the others,
which costs a tenth, for those that differ in at most NEAR_DISTANCE. The search for either is exact: two hashes that
differ in at most d bits differ, in one of three bands, in at most a third of them, so that looking up every band with
up to that many bits flipped finds them all.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from vpdata.curation.phash import FLAT, mirrored

PERIOD_SECONDS: Final = 0.5
"""Hash k of a recording is that of its frame nearest to k * PERIOD_SECONDS."""

MAX_DISTANCE: Final = 8
"""Bits of 64 in which hashes of the same moment may differ."""

MIN_MATCHES: Final = 4
"""Hashes that must match; shorter recordings are not compared."""

MIN_SHARE: Final = 0.5
"""Share that must match of the hashes compared at an offset."""

QUERY_EVERY: Final = 4

NEAR_DISTANCE: Final = 5
"""Bits; where `max_distance` is less, the hashes between ask for that, too."""

_BANDS: Final = ((0, 21), (21, 21), (42, 22))  # first bit, number of bits
_SLICE: Final = 1 << 20  # comparisons held in memory by one thread
_PORTION: Final = 1 << 19  # queries (a crowded one counts as several) whose hits are held in memory
_BLOCK: Final = 1 << 15  # queries looked up at once
_CROWD: Final = 16  # answers to a query that are compared together with those to the others
_NOTHING: Final = np.empty((2, 0), np.int64)
_THREADS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HashSequences:
    """The hashes of many recordings, one recording after the other.

    Attributes:
        hashes: (N,) uint64.
        bounds: (M + 1,) int64, increasing from 0 to N: recording i has hashes [bounds[i], bounds[i + 1]).
    """

    hashes: NDArray[np.uint64]
    bounds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def of_recording(self, i: int) -> NDArray[np.uint64]:
        """(K,): the hashes of recording i."""
        return self.hashes[self.bounds[i] : self.bounds[i + 1]]

    @classmethod
    def of(cls, sequences: Sequence[NDArray[np.uint64]]) -> Self:
        """Of one array a recording."""
        bounds = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
        return cls(hashes=np.concatenate([np.empty(0, np.uint64), *sequences]), bounds=bounds)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Pairs that may be the same footage, at their best offset each; all arrays (K,), sorted by first, second.

    Attributes:
        first, second: int64, recordings; within one set first < second.
        offset: int64, in periods: hash k of the first matches hash k + offset of the second.
        is_mirrored: bool, whether the first matches as its mirror image.
        num_compared, num_matches: int64, hashes that overlap at that offset, and those that match.
        distance: float64, mean number of bits in which the overlapping hashes differ.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    offset: NDArray[np.int64]
    is_mirrored: NDArray[np.bool_]
    num_compared: NDArray[np.int64]
    num_matches: NDArray[np.int64]
    distance: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)


def find_candidates(
    sequences: HashSequences, *, against: HashSequences | None = None, max_distance: int = MAX_DISTANCE
) -> Candidates:
    """The pairs of recordings within one set, or those of a set with those of another, that may be the same footage.

    Args:
        sequences: the set.
        against: the other set, `second` counts there; None: pairs within the set.
        max_distance: bits, 0 to 11. Time grows with it steeply: 8 looks up 696 buckets a query, 5 looks up 67.

    Raises:
        ValueError: `max_distance` is out of range.
    """
    if not 0 <= max_distance <= 11:
        raise ValueError(f"max_distance {max_distance} is not in [0, 11]")
    if against is None:
        return _best(_found(sequences, sequences, max_distance, within=True))
    back = [_turned(found) for found in _found(against, sequences, max_distance, within=False)]
    return _best([*_found(sequences, against, max_distance, within=False), *back])


def closest_offset(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> int:
    """The offset, as in `Candidates`, at which hashes (K,) and (L,) differ least, where they overlap by half or more.

    In a scene where little changes, hashes meet at many offsets; the right one may not be among them.
    """
    shorter = min(len(first), len(second))
    overlap = shorter - shorter // 2
    offsets = range(overlap - len(first), len(second) - overlap + 1)
    differ = np.bitwise_count(first[:, None] ^ second)
    return min(offsets, key=lambda offset: float(np.diagonal(differ, offset).mean()))


def _found(asking: HashSequences, answering: HashSequences, max_distance: int, *, within: bool) -> list[Candidates]:
    """All pairs and offsets at which a hash that asks met one that answers, compared as wholes."""
    index = _Index.of(answering.hashes)
    owners = np.repeat(np.arange(len(answering)), np.diff(answering.bounds))
    found = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for (places, distance), is_mirrored in product(_asking_places(asking, max_distance), (False, True)):
            for chunk in index.portions(places, asking.hashes[places]):
                hashes = asking.hashes[chunk]
                query, answer = index.lookup(mirrored(hashes) if is_mirrored else hashes, distance, pool)
                first = np.searchsorted(asking.bounds, chunk, side="right")[query] - 1
                second = owners[answer]
                offset = (answer - answering.bounds[second]) - (chunk[query] - asking.bounds[first])
                pairs = np.stack([first, second, offset], axis=1)
                if within:  # a pair once, whichever of the two asked
                    pairs = np.where((first > second)[:, None], pairs[:, [1, 0, 2]] * [1, 1, -1], pairs)
                    pairs = pairs[first != second]
                found.append(_compared(asking, answering, _distinct(pairs), is_mirrored, max_distance))
    return found


def _asking_places(sequences: HashSequences, max_distance: int) -> tuple[tuple[NDArray[np.int64], int], ...]:
    """The hashes that ask and for what distance: of recordings long enough to be compared, but those of flat frames."""
    lengths = np.diff(sequences.bounds)
    places = np.arange(len(sequences.hashes)) - np.repeat(sequences.bounds[:-1], lengths)
    asks = (np.repeat(lengths, lengths) >= MIN_MATCHES) & (sequences.hashes != FLAT)
    far = places % QUERY_EVERY == QUERY_EVERY // 2
    return (np.flatnonzero(asks & far), max_distance), (np.flatnonzero(asks & ~far), min(max_distance, NEAR_DISTANCE))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Band:
    """Hashes sorted by the bits of one band: those whose band is b lie at [starts[b], starts[b + 1])."""

    shift: np.uint64
    mask: np.uint64
    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]
    starts: NDArray[np.int32]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64], places: NDArray[np.int64], *, first_bit: int, num_bits: int) -> Self:
        shift, mask = np.uint64(first_bit), np.uint64((1 << num_bits) - 1)
        keys = ((hashes >> shift) & mask).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.zeros((1 << num_bits) + 1, np.int32)  # a lookup is mostly a wait for these
        np.cumsum(np.bincount(keys, minlength=1 << num_bits), out=starts[1:])
        return cls(shift=shift, mask=mask, hashes=hashes[order], places=places[order], starts=starts)

    def keys(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        return ((hashes >> self.shift) & self.mask).astype(np.int64)

    def num_answers(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(N,): how many hashes have the same bits in this band."""
        keys = self.keys(hashes)
        return self.starts[keys + 1] - self.starts[keys]

    def within(self, hashes: NDArray[np.uint64], flips: int, max_distance: int) -> Iterator[NDArray[np.int64]]:
        """(2, K) hits: a hash, and the place of one that has its bits here but for `flips` and is near enough in all.

        The n-th answers to all hashes are compared at once; what crowded bands hold beyond that, in slices.
        """
        keys = self.keys(hashes) ^ flips
        starts = self.starts.take(keys, mode="clip")
        counts = self.starts[1:].take(keys, mode="clip") - starts
        for nth in range(min(_CROWD, int(counts.max(initial=0)))):
            asking = np.flatnonzero(counts > nth)
            yield self._near(hashes, asking, starts.take(asking) + nth, max_distance)
        asking = np.flatnonzero(counts > _CROWD)
        more = counts[asking] - _CROWD
        ends = np.cumsum(more)
        for begin, stop in _portions(ends, _SLICE):
            repeated = np.repeat(np.arange(begin, stop), more[begin:stop])
            nth = np.arange(len(repeated)) - (ends - more)[repeated] + (ends[begin - 1] if begin else 0)
            yield self._near(hashes, asking[repeated], starts[asking[repeated]] + _CROWD + nth, max_distance)

    def _near(
        self, hashes: NDArray[np.uint64], asking: NDArray[np.int64], rows: NDArray[np.integer], max_distance: int
    ) -> NDArray[np.int64]:
        differ = hashes.take(asking, mode="clip")
        np.bitwise_xor(differ, self.hashes.take(rows, mode="clip"), out=differ)
        hits = np.flatnonzero(np.bitwise_count(differ) <= max_distance)
        return np.stack([asking[hits], self.places[rows[hits]]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Index:
    """Hashes to be found again, but those of flat frames."""

    bands: tuple[_Band, ...]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64]) -> Self:
        places = np.flatnonzero(hashes != FLAT)
        shown = hashes[places]
        return cls(bands=tuple(_Band.of(shown, places, first_bit=bit, num_bits=bits) for bit, bits in _BANDS))

    def portions(self, places: NDArray[np.int64], hashes: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
        """The places whose hashes ask, in portions that few enough hashes answer to."""
        crowd = np.min([band.num_answers(hashes) for band in self.bands], axis=0)
        for begin, stop in _portions(np.cumsum(np.maximum(1, crowd // 4)), _PORTION):
            yield places[begin:stop]

    def lookup(
        self, hashes: NDArray[np.uint64], max_distance: int, pool: ThreadPoolExecutor
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of `hashes` met which place of the index, some pairs more than once; two arrays (K,)."""
        spare = max(0, max_distance - len(self.bands) + 1)
        tasks = []
        for number, band in enumerate(self.bands):
            order = np.argsort(band.keys(hashes))  # neighbours ask for neighbours: a block's answers stay in the caches
            radius = spare // len(self.bands) + (number < spare % len(self.bands))
            flips = _flips(_BANDS[number][1], radius)
            tasks += [(band, order[begin : begin + _BLOCK], flips) for begin in range(0, len(order), _BLOCK)]

        def run(task: tuple[_Band, NDArray[np.int64], list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            band, block, flips = task
            asking = hashes[block]
            met = [hits for flip in flips for hits in band.within(asking, flip, max_distance)]
            query, place = np.concatenate([_NOTHING, *met], axis=1)
            return block[query], place

        met = list(pool.map(run, tasks))
        queries, places = [query for query, _ in met], [place for _, place in met]
        return np.concatenate([_NOTHING[0], *queries]), np.concatenate([_NOTHING[1], *places])


def _flips(num_bits: int, radius: int) -> list[int]:
    """All numbers of `num_bits` bits of which at most `radius` are set."""
    return [sum(1 << bit for bit in bits) for size in range(radius + 1) for bits in combinations(range(num_bits), size)]


def _portions(ends: NDArray[np.int64], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of items that weigh at most `limit` together, or are single; `ends` is the running sum of the weights."""
    begin = 0
    while begin < len(ends):
        before = int(ends[begin - 1]) if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield begin, stop
        begin = stop


def _distinct(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(K, 3) rows without repetitions, sorted."""
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    return pairs[np.flatnonzero(np.any(np.diff(pairs, axis=0, prepend=pairs[:1] - 1), axis=1))]


def _compared(
    asking: HashSequences, answering: HashSequences, pairs: NDArray[np.int64], is_mirrored: bool, max_distance: int
) -> Candidates:
    """Of pairs (K, 3) of first, second and offset those whose hashes match well enough, at that offset."""
    first, second, offset = pairs.T
    begin = np.maximum(0, -offset)  # in hashes of the first
    stop = np.minimum(np.diff(asking.bounds)[first], np.diff(answering.bounds)[second] - offset)
    num_compared = stop - begin
    num_matches, bits = np.zeros_like(num_compared), np.zeros_like(num_compared)
    ends = np.cumsum(num_compared)
    for low, high in _portions(ends, _SLICE):
        lengths = num_compared[low:high]
        rows = np.repeat(np.arange(high - low), lengths)
        places = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places += (begin[low:high] + asking.bounds[first[low:high]])[rows]
        here = asking.hashes[places]
        shift = offset[low:high] + answering.bounds[second[low:high]] - asking.bounds[first[low:high]]
        there = answering.hashes[places + shift[rows]]
        differ = np.bitwise_count((mirrored(here) if is_mirrored else here) ^ there)
        match = (differ <= 2 * max_distance) & (here != FLAT) & (there != FLAT)
        num_matches[low:high] = np.bincount(rows, match, minlength=high - low).astype(np.int64)
        bits[low:high] = np.bincount(rows, differ, minlength=high - low).astype(np.int64)
    keep = (num_matches >= MIN_MATCHES) & (num_matches >= MIN_SHARE * num_compared)
    return Candidates(
        first=first[keep],
        second=second[keep],
        offset=offset[keep],
        is_mirrored=np.full(int(keep.sum()), is_mirrored),
        num_compared=num_compared[keep],
        num_matches=num_matches[keep],
        distance=bits[keep] / num_compared[keep],
    )


def _turned(found: Candidates) -> Candidates:
    return replace(found, first=found.second, second=found.first, offset=-found.offset)


def _best(found: Sequence[Candidates]) -> Candidates:
    """One candidate a pair: with the most matches, and of those the least distance."""
    if not found:
        none = np.empty(0, np.int64)
        flags, distance = none.astype(np.bool_), none.astype(np.float64)
        return Candidates(
            first=none,
            second=none,
            offset=none,
            is_mirrored=flags,
            num_compared=none,
            num_matches=none,
            distance=distance,
        )
    columns = {
        field.name: np.concatenate([getattr(some, field.name) for some in found]) for field in fields(Candidates)
    }
    order = np.lexsort([columns["distance"], -columns["num_matches"], columns["second"], columns["first"]])
    columns = {name: column[order] for name, column in columns.items()}
    new = (np.diff(columns["first"], prepend=-1) != 0) | (np.diff(columns["second"], prepend=-1) != 0)
    return Candidates(**{name: column[new] for name, column in columns.items()})
