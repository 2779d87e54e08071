"""The spans of clips in, where they do not tile their episodes out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spans:
    """Window starts [start, stop) of the episode with that number, of `num_frames` altogether. Arrays (N,) int64."""

    episode: Numbers
    start: Numbers
    stop: Numbers
    num_frames: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Span `row` begins at `stop` and not at `start`, where the one before it ends; negative where they overlap.

    At the end of an episode, `row` is its last span, which ends at `start` and not at `stop`.
    """

    row: int
    start: int
    stop: int
    at_end: bool


def gaps(spans: Spans) -> list[Gap]:
    """Every place where the spans of an episode, sorted, do not own each of its window starts exactly once."""
    if not len(spans.episode):
        return []
    order = np.lexsort((spans.start, spans.episode))
    episode, start, stop = spans.episode[order], spans.start[order], spans.stop[order]
    is_first = np.append(True, episode[1:] != episode[:-1])
    is_last = np.append(is_first[1:], True)
    expected = np.where(is_first, 0, np.roll(stop, 1))
    end = spans.num_frames[order]
    inside = [
        Gap(row=int(order[k]), start=int(expected[k]), stop=int(start[k]), at_end=False)
        for k in np.flatnonzero(start != expected)
    ]
    after = [
        Gap(row=int(order[k]), start=int(stop[k]), stop=int(end[k]), at_end=True)
        for k in np.flatnonzero(is_last & (stop != end))
    ]
    return [*inside, *after]
