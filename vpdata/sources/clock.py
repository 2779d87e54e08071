"""One clock for the streams of an episode, each of which has times of its own.

Enters: the seconds at which cameras made frames and the robot wrote rows. Leaves: what is wrong with them, in words; or
for every tick of the clock the frame and the row that belong to it.

    camera    0    1    2         3    4       a frame was dropped
    rows      0    1    2    3    4    5
    ticks     |    |    |         |    |       two pieces; with a tolerance of one period: one piece, frame 2 repeated
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vpdata.schema import Scalar

ROUNDING_SECONDS = 0.001
"""By how much any time may be wrong without meaning anything: Matroska and many loggers write whole milliseconds."""
GAP_PERIODS, REPEAT_PERIODS = 1.5, 0.5
"""An interval that is at least, or at most, this many of a stream's own periods: frames are missing, or come twice."""
DRIFT_PERIODS = 0.1
"""By how much of a period a rounded rate may be wrong at the end of an episode."""
MAX_PLACES = 3
"""Places that a message names of one kind in one stream."""
DIGITS = 6
"""Of seconds in attributes."""

Take = Literal["nearest", "once", "hold"]
Seconds = NDArray[np.float64]
Entries = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Times of one camera's frames, or of a table's rows.

    Attributes:
        name: as it stands in messages.
        entry: what one of them is called, `frame` or `row`.
        times: (N,) seconds, N >= 1, never running backward.
        take: which one belongs to a tick when the stream is resampled: the `nearest`; the nearest, and each exactly
            `once`, in a row (actions that are steps); or the last that is not later, which `hold`s until the next.
    """

    name: str
    entry: str
    times: Seconds
    take: Take = "nearest"

    @property
    def interval(self) -> float:
        """The stream's own period in seconds, 0 for a stream of one moment.

        It is the mean of the steps, unless entries would then be missing or come twice; only then it is the span
        divided by the number of periods, where a step counts as so many as it has medians of the steps above zero.

        So jitter alone is never taken for a gap or a repeat: where N entries each lie within e of a period P of their
        regular times, no step is longer than (1 + 2e) P or shorter than (1 - 2e) P, and the mean is P within
        2e P / (N - 1). With the limits of 1.5 and 0.5 that holds for e < 1/6 at any N, and for e <= 1/5 from N = 8 on.
        Where two of three entries or fewer are left, evenly (steps 1 2 1 2), that is a slower stream with jitter.
        """
        steps = np.diff(self.times)
        if not np.any(steps > 0):
            return 0.0
        mean = float(steps.mean())
        if steps.min() > REPEAT_PERIODS * mean and steps.max() < GAP_PERIODS * mean:
            return mean
        return float(steps.sum() / np.rint(steps / np.median(steps[steps > 0])).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of the clock in which every stream has an entry for every tick.

    Attributes:
        ticks: (n,) seconds.
        entries: stream name -> (n,) index of its entry at each tick, never decreasing.
    """

    ticks: Seconds
    entries: Mapping[str, Entries]

    def max_error(self, stream: Stream) -> float:
        """The largest distance in seconds between a tick and the stream's entry there."""
        return float(np.abs(stream.times[self.entries[stream.name]] - self.ticks).max())

    def num_repeated(self, stream: Stream) -> int:
        """Ticks at which the stream shows the same entry as at the tick before."""
        return int(np.sum(np.diff(self.entries[stream.name]) == 0))

    def num_left_out(self, stream: Stream) -> int:
        """Entries between the first and the last one shown that are not shown."""
        steps = np.diff(self.entries[stream.name])
        return int(np.sum(steps[steps > 1] - 1))


def timing(
    pieces: Sequence[Piece], part: int, cameras: Mapping[str, Stream], *, rows: Sequence[Stream], is_in_step: bool
) -> dict[str, Scalar]:
    """What is worth knowing about a piece's time, as attributes: how far it was off, and what was done about it.

    Args:
        pieces: all of the recording.
        part: which one.
        cameras: name -> stream.
        rows: further streams whose distance from the ticks counts; the clock starts with the first stream of all.
        is_in_step: whether nothing had to be done.
    """
    piece, streams = pieces[part], list(cameras.values())
    start = [*rows, *streams][0].times[0]
    found: dict[str, Scalar] = {
        "resampled": not is_in_step,
        "max_time_error_seconds": round(max(piece.max_error(stream) for stream in (*rows, *streams)), DIGITS),
        "num_repeated_frames": sum(piece.num_repeated(stream) for stream in streams),
        "num_left_out_frames": sum(piece.num_left_out(stream) for stream in streams),
        **{f"offset_seconds_{name}": round(float(one.times[0] - start), DIGITS) for name, one in cameras.items()},
    }
    return found if len(pieces) == 1 else {**found, "part": part, "num_parts": len(pieces)}


def listed(problems: Sequence[str], *, fps: float) -> str:
    """Findings as one sentence."""
    numbered = "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
    return f"not in step with a clock of {fps:g} fps: {numbered}."


def runs_backward(stream: Stream) -> str | None:
    """Says where the stream's time runs backward, which nothing repairs; None where it does not."""
    places = np.flatnonzero(np.diff(stream.times) < 0)
    if not len(places):
        return None
    i = places[0] + 1
    before, after = stream.times[i - 1], stream.times[i]
    return f"{stream.name}: time runs backward at {stream.entry} {i}, from {before:.6f} s to {after:.6f} s."


def rate_of(stream: Stream) -> float | None:
    """Entries a second where nothing is missing, None for a stream of one moment.

    Counted over the whole stream, a step of about k periods as k, and rounded to the fewest decimals that
    shift nothing by more than a tenth of a period.
    """
    if not stream.interval:
        return None
    num_periods = float(np.rint(np.diff(stream.times) / stream.interval).sum())
    rate = num_periods / float(stream.times[-1] - stream.times[0])
    for digits in range(6):
        rounded = round(rate, digits)
        if rounded and abs(rate / rounded - 1) * num_periods <= DRIFT_PERIODS:
            return rounded
    return rate


def drift_seconds(stream: Stream, *, fps: float) -> float:
    """By how much the stream, counted entry by entry, would leave a clock of that rate until its end."""
    rate = rate_of(stream)
    return 0.0 if rate is None else abs(rate / fps - 1) * float(stream.times[-1] - stream.times[0])


def findings(streams: Sequence[Stream], *, fps: float, tolerance_seconds: float | None) -> tuple[str, ...]:
    """What keeps entry k of every stream from being entry k of the clock; nothing where they are in step.

    Args:
        streams: the first one's first entry is the clock's tick 0.
        fps: ticks a second.
        tolerance_seconds: how far an entry may be from its tick; None for half a period.
    """
    tolerance = (0.5 / fps if tolerance_seconds is None else tolerance_seconds) + ROUNDING_SECONDS
    found = [
        f"{stream.name} {finding}"
        for stream in streams
        for finding in _findings(stream, streams[0], fps=fps, tolerance=tolerance)
    ]
    if len({len(stream.times) for stream in streams}) > 1 and not found:
        found.append(", ".join(f"{stream.name} has {len(stream.times)} {stream.entry}s" for stream in streams))
    return tuple(found)


def _findings(stream: Stream, first: Stream, *, fps: float, tolerance: float) -> list[str]:
    times, steps, found = stream.times, np.diff(stream.times), list[str]()
    if drift_seconds(stream, fps=fps) > max(tolerance, 0.5 / fps):  # less is jitter of the first and last
        found.append(f"runs at {rate_of(stream):.6g} {stream.entry}s a second, the clock at {fps:g}")
    gaps = np.flatnonzero(steps >= max(GAP_PERIODS * stream.interval, ROUNDING_SECONDS))
    repeats = np.flatnonzero(steps <= REPEAT_PERIODS * stream.interval)
    if len(gaps):
        found.append(f"misses {stream.entry}s after {_places(stream, gaps)}")
    if len(repeats):
        found.append(f"has {stream.entry}s twice: one follows too soon on {_places(stream, repeats)}")
    for verb, offset in (("starts", times[0] - first.times[0]), ("ends", times[-1] - first.times[-1])):
        if abs(offset) > tolerance:
            found.append(f"{verb} {abs(offset):.3f} s {'after' if offset > 0 else 'before'} {first.name}")
    if found:
        return found
    errors = np.abs(times - (first.times[0] + np.arange(len(times)) / fps))
    worst = int(errors.argmax())
    if errors[worst] > tolerance:
        found.append(f"is not regular: {stream.entry} {worst} ({times[worst]:.3f} s) is {errors[worst]:.3f} s off")
    return found


def _places(stream: Stream, indices: Entries) -> str:
    steps = np.diff(stream.times)
    named = ", ".join(
        f"{stream.entry} {i} ({stream.times[i]:.3f} s; the next is {steps[i]:.3f} s later)"
        for i in indices[:MAX_PLACES]
    )
    return f"{named}, and at {len(indices) - MAX_PLACES} more places" if len(indices) > MAX_PLACES else named


def in_step(streams: Sequence[Stream], *, fps: float) -> Piece:
    """The one piece of streams without findings: entry k of each at tick k."""
    first = streams[0].times
    entries = {stream.name: np.arange(len(first)) for stream in streams}
    return Piece(ticks=first[0] + np.arange(len(first)) / fps, entries=entries)


def resample(streams: Sequence[Stream], *, fps: float, tolerance_seconds: float | None) -> tuple[Piece, ...]:
    """Finds for every tick the entry of every stream that belongs to it.

    Args:
        streams: as in `findings`; ticks lie where all of them run.
        fps: ticks a second.
        tolerance_seconds: how far the nearest entry may be from its tick; None for half a period of the clock or of
            the stream, whichever is longer, which is also the limit for a stream that is taken `once`. Ticks without
            such an entry, and places where a stream that is taken `once` would skip or repeat one, end a piece.

    Returns:
        The pieces in order; none where the streams have no time in common.
    """
    start, margins = streams[0].times[0], [max(1 / fps, stream.interval) / 2 for stream in streams]
    pairs = list(zip(streams, margins, strict=True))
    low = max(stream.times[0] - margin for stream, margin in pairs) - ROUNDING_SECONDS
    high = min(stream.times[-1] + margin for stream, margin in pairs) + ROUNDING_SECONDS
    ticks = np.arange(math.ceil((low - start) * fps), math.floor((high - start) * fps) + 1) / fps + start
    if not len(ticks):
        return ()
    valid, whole = np.ones(len(ticks), np.bool_), np.ones(len(ticks), np.bool_)
    entries: dict[str, Entries] = {}
    for stream, margin in pairs:
        tolerance = (margin if tolerance_seconds is None else tolerance_seconds) + ROUNDING_SECONDS
        chosen = _held(stream, ticks) if stream.take == "hold" else _nearest(stream.times, ticks)
        if stream.take == "hold":  # an entry in force is as old as the interval
            valid &= chosen >= 0
            tolerance += stream.interval
        valid &= np.abs(stream.times[chosen] - ticks) <= tolerance
        if stream.take == "once":
            valid &= np.abs(stream.times[chosen] - ticks) <= margin + ROUNDING_SECONDS
            whole[1:] &= np.diff(chosen) == 1
            valid[1:] &= (np.diff(chosen) > 0) | ~valid[:-1]
        entries[stream.name] = chosen
    return tuple(
        Piece(ticks=ticks[begin:end], entries={name: chosen[begin:end] for name, chosen in entries.items()})
        for begin, end in _runs(valid, whole)
    )


def _nearest(times: Seconds, ticks: Seconds) -> Entries:
    """For each tick the nearest entry, of two as near the earlier."""
    after = np.searchsorted(times, ticks).clip(max=len(times) - 1)
    before = (after - 1).clip(min=0)
    is_before = ticks - times[before] <= times[after] - ticks + ROUNDING_SECONDS / 1000
    return np.where(is_before, before, after)


def _held(stream: Stream, ticks: Seconds) -> Entries:
    """For each tick the last entry that is not later by more than a quarter of an interval, -1 before the first."""
    return np.searchsorted(stream.times, ticks + stream.interval / 4, side="right") - 1


def _runs(valid: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Ranges of ticks that are valid, begun anew where a tick is not `whole` with the one before."""
    begins = np.flatnonzero(valid & ~(whole & np.append(False, valid[:-1])))
    for begin, end in pairwise([*begins, len(valid)]):
        length = int(np.argmin(np.append(valid[begin:end], False)))
        yield int(begin), int(begin) + length
