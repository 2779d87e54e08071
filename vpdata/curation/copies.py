"""Recordings enter, those that show the same moments leave: candidates by their hashes, decided by their frames."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from vpdata.curation.duplicates import MAX_DISTANCE, PERIOD_SECONDS, HashSequences, closest_offset, find_candidates
from vpdata.curation.footage import MIN_SCORE, Footage, compare
from vpdata.curation.phash import mirrored

_KEPT: Final = 512  # recordings whose small frames stay in memory, below 1 MB each where they last 20 s


class Recordings(Protocol):
    """Recordings of one camera each, numbered from 0."""

    @property
    def hashes(self) -> HashSequences:
        """Of every recording, a hash every PERIOD_SECONDS."""
        ...

    def content(self, i: int) -> str:
        """What recording i was recorded with: those of one content (other cameras, or equal bytes) are not compared."""
        ...

    def footage(self, i: int) -> Footage:
        """All frames of recording i, small; asked for candidates only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Two recordings that show the same moments.

    Attributes:
        first, second: their numbers.
        score: how well they fit, MIN_SCORE to 1.
        offset_seconds: moment t of the first is t + offset_seconds of the second.
        is_mirrored: whether one is the mirror image of the other.
    """

    first: int
    second: int
    score: float
    offset_seconds: float
    is_mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was found, and how many pairs had their frames compared for it."""

    copies: tuple[Copy, ...]
    num_compared: int


def find_copies(
    recordings: Recordings,
    *,
    against: Recordings | None = None,
    max_distance: int = MAX_DISTANCE,
    progress: Callable[[int], object] = lambda _: None,
) -> Search:
    """The copies among recordings, or between them and others; see `find_candidates` and `compare`.

    Args:
        recordings: the set.
        against: the other set, `Copy.second` counts there; None: pairs within the set.
        max_distance: bits in which hashes may differ for their recordings to be compared.
        progress: called with a number of pairs whenever they are compared.
    """
    others = recordings if against is None else against
    found = find_candidates(
        recordings.hashes, against=None if against is None else others.hashes, max_distance=max_distance
    )
    columns = (found.first, found.second, found.offset, found.is_mirrored)
    pairs = [
        pair
        for pair in zip(*(column.tolist() for column in columns), strict=True)
        if recordings.content(pair[0]) != others.content(pair[1])
    ]
    firsts, seconds = lru_cache(_KEPT)(recordings.footage), lru_cache(_KEPT)(others.footage)
    copies = []
    for first, second, offset, is_mirrored in pairs:
        hashes = recordings.hashes.of_recording(first)
        closest = closest_offset(mirrored(hashes) if is_mirrored else hashes, others.hashes.of_recording(second))
        likeness = max(
            (
                compare(firsts(first), seconds(second), offset_seconds=o * PERIOD_SECONDS, is_mirrored=is_mirrored)
                for o in {offset, closest}
            ),
            key=lambda likeness: likeness.score,
        )
        if likeness.score >= MIN_SCORE:
            copies.append(
                Copy(
                    first=first,
                    second=second,
                    score=likeness.score,
                    offset_seconds=likeness.offset_seconds,
                    is_mirrored=is_mirrored,
                )
            )
        progress(1)
    return Search(copies=tuple(copies), num_compared=len(pairs))
