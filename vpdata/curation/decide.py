"""Measurements of one video and thresholds in, spans to keep and spans to drop out; nothing is decoded.

frames     0                                                    N
cuts       |                 |                        |         |      pieces
black                              |======|                           dropped; so are frozen, static, blurry spans
kept       |=================|                 |======|               what is left, unless it is too short
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vpdata.curation.cuts import find_cuts
from vpdata.curation.measurements import Measurements
from vpdata.curation.spans import DroppedSpan, KeptSpan, Reason
from vpdata.curation.thresholds import Thresholds

POP: Final = 4.0
"""A key frame may change a frozen picture this many times as much as the frames around it."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Of one video: `cuts` are first frames of scenes, frame 0 left out; each frame is in exactly one of the spans."""

    cuts: tuple[int, ...]
    kept: tuple[KeptSpan, ...]
    dropped: tuple[DroppedSpan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """Spans of at least `seconds` in which all frames have the flag; `values` are what was measured of each frame."""

    reason: Reason
    flags: Flags
    seconds: float
    values: NDArray[np.float32]
    threshold: float
    compares_frames: bool = False


def decide(measurements: Measurements, thresholds: Thresholds) -> Decisions:
    """What to keep of a video, and what to drop and why."""
    num_frames, times = len(measurements), measurements.boundaries
    smaller = min(measurements.height, measurements.width)
    if smaller < thresholds.small_pixels:
        whole = _dropped(times, 0, num_frames, "small", measured=smaller, threshold=thresholds.small_pixels)
        return Decisions(cuts=(), kept=(), dropped=(whole,))
    cuts = find_cuts(measurements.columns["content"], thresholds)
    dropped = list[DroppedSpan]()
    is_free = np.ones(num_frames, np.bool_)
    rules = _rules(measurements, thresholds)
    for begin, end in pairwise([0, *cuts, num_frames]):
        for rule in rules:
            for start, stop in _spans(rule, is_free, times, begin, end):
                is_free[start:stop] = False
                measured = float(rule.values[start + (rule.compares_frames and start == begin) : stop].mean())
                dropped.append(_dropped(times, start, stop, rule.reason, measured=measured, threshold=rule.threshold))
    kept = list[KeptSpan]()
    for begin, end in pairwise([0, *cuts, num_frames]):
        for start, stop in _runs(is_free, begin, end):
            seconds = float(times[stop] - times[start])
            if seconds < thresholds.short_seconds:
                limit = thresholds.short_seconds
                dropped.append(_dropped(times, start, stop, "short", measured=seconds, threshold=limit))
            else:
                kept.append(
                    KeptSpan(start=start, stop=stop, start_seconds=float(times[start]), stop_seconds=float(times[stop]))
                )
    return Decisions(cuts=cuts, kept=tuple(kept), dropped=tuple(sorted(dropped, key=lambda span: span.start)))


def _rules(measurements: Measurements, thresholds: Thresholds) -> tuple[_Rule, ...]:
    columns: Mapping[str, NDArray[np.float32]] = measurements.columns
    return (
        _Rule(
            reason="black",
            flags=columns["black_share"] >= thresholds.black_share,
            seconds=thresholds.black_seconds,
            values=columns["black_share"],
            threshold=thresholds.black_share,
        ),
        _Rule(
            reason="frozen",
            flags=_calm(columns["peak_motion"], thresholds.frozen_motion),
            seconds=thresholds.frozen_seconds,
            values=columns["peak_motion"],
            threshold=thresholds.frozen_motion,
            compares_frames=True,
        ),
        _Rule(
            reason="static",
            flags=_calm(columns["peak_motion"], thresholds.static_motion),
            seconds=thresholds.static_seconds,
            values=columns["peak_motion"],
            threshold=thresholds.static_motion,
            compares_frames=True,
        ),
        _Rule(
            reason="blurry",
            flags=columns["sharpness"] < thresholds.blurry_sharpness,
            seconds=thresholds.blurry_seconds,
            values=columns["sharpness"],
            threshold=thresholds.blurry_sharpness,
        ),
    )


def _calm(motion: NDArray[np.float32], limit: float) -> Flags:
    """Frames that are like the one before: within the limit, or one that pops between two that are."""
    within = motion <= limit
    between = np.zeros_like(within)
    between[1:-1] = within[:-2] & within[2:]
    return within | (between & (motion <= POP * limit))


def _spans(rule: _Rule, is_free: Flags, times: NDArray[np.float64], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans inside a piece that the rule drops."""
    flags = rule.flags & is_free
    if rule.compares_frames and is_free[begin]:  # a scene's first frame is like none before, but may be the frozen one
        flags[begin] = begin + 1 < end and flags[begin + 1]
    for start, stop in _runs(flags, begin, end):
        if times[stop] - times[start] >= rule.seconds:
            yield start, stop


def _runs(flags: Flags, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The ranges inside [begin, end) where all flags are set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags[begin:end], [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2) + begin:
        yield int(start), int(stop)


def _dropped(
    times: NDArray[np.float64], start: int, stop: int, reason: Reason, *, measured: float, threshold: float
) -> DroppedSpan:
    return DroppedSpan(
        start=start,
        stop=stop,
        start_seconds=float(times[start]),
        stop_seconds=float(times[stop]),
        reason=reason,
        measured=measured,
        threshold=float(threshold),
    )
