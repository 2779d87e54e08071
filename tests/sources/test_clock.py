"""Resampling against its definition, tick by tick, on streams with any jitter, holes, offsets and rates."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vpdata.sources.clock import ROUNDING_SECONDS, Stream, Take, findings, resample

FPS = 20.0


def some_stream(seed: int, name: str, take: Take) -> Stream:
    random = np.random.default_rng([seed, len(name)])
    rate = random.choice([10.0, 19.0, 20.0, 20.0, 20.0, 25.0, 50.0])
    times = random.uniform(-0.2, 0.2) + np.arange(random.integers(1, 40)) / rate
    times = np.sort(times + random.choice([0, 0.01]) * random.uniform(-1, 1, len(times)))
    kept = random.random(len(times)) > random.choice([0, 0.1])
    return Stream(name=name, entry="frame", times=times[kept] if kept.any() else times, take=take)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), tolerance=st.sampled_from([None, 0.01, 0.05, 0.2]), holds=st.booleans())
def test_every_tick_shows_what_it_should(seed: int, tolerance: float | None, holds: bool) -> None:
    streams = [some_stream(seed, "rows", "nearest"), some_stream(seed, "camera", "nearest")]
    streams.append(Stream(name="actions", entry="row", times=streams[0].times, take="hold" if holds else "once"))
    pieces = resample(streams, fps=FPS, tolerance_seconds=tolerance)
    shown = {round((tick - streams[0].times[0]) * FPS): piece for piece in pieces for tick in piece.ticks}
    assert len(shown) == sum(len(piece.ticks) for piece in pieces)
    for piece in pieces:
        np.testing.assert_allclose(np.diff(piece.ticks), 1 / FPS)
        if not holds:
            np.testing.assert_array_equal(np.diff(piece.entries["actions"]), 1)
        for stream in streams[:2]:
            errors = np.abs(stream.times[None] - piece.ticks[:, None])
            chosen = errors[np.arange(len(errors)), piece.entries[stream.name]]
            np.testing.assert_allclose(chosen, errors.min(axis=1), atol=1e-5)
    for tick in range(-40, 200):  # what is not shown has no entry near enough, or a step that does not fit
        second = streams[0].times[0] + tick / FPS
        near = all(
            np.abs(stream.times - second).min()
            < (max(1 / FPS, stream.interval) / 2 if tolerance is None else tolerance) - ROUNDING_SECONDS
            for stream in streams[:2]
        )
        inside = all(stream.times[0] <= second <= stream.times[-1] for stream in streams)
        if near and inside and holds and not len(np.diff(streams[0].times)[np.diff(streams[0].times) > 0.05]):
            assert tick in shown


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), num_frames=st.integers(2, 60), rate=st.sampled_from([5.0, 20.0, 29.97, 60.0]))
@example(seed=640, num_frames=20, rate=5.0)  # the median step is 0.93 periods, and one is of 1.39
def test_streams_without_findings_resample_to_themselves(seed: int, num_frames: int, rate: float) -> None:
    random = np.random.default_rng(seed)
    jitter = random.uniform(-1, 1, (2, num_frames)) * allowed_jitter(num_frames) / rate
    streams = [
        Stream(name=name, entry="frame", times=1e6 + np.arange(num_frames) / rate + shift)
        for name, shift in (("a", jitter[0] / 2), ("b", jitter[1]))
    ]
    assert findings(streams, fps=rate, tolerance_seconds=None) == ()
    (piece,) = resample(streams, fps=rate, tolerance_seconds=None)
    for stream in streams:
        np.testing.assert_array_equal(piece.entries[stream.name], np.arange(num_frames))


def allowed_jitter(num_frames: int) -> float:
    """In periods: what `Stream.interval` promises never to take for a gap or a repeat."""
    return 1 / 5 if num_frames >= 8 else 1 / 6 - 1e-6


@pytest.mark.parametrize("num_frames", range(2, 40))
def test_jitter_is_no_finding_where_it_is_worst(num_frames: int) -> None:
    """Alternating jitter has the worst medians; one long step in a short span, or the reverse, the worst means."""
    most = allowed_jitter(num_frames)
    alternating = most * (-1.0) ** np.arange(num_frames)
    patterns = [alternating, -alternating]
    for i in range(1, num_frames):
        for sign in (1, -1):
            shift = np.zeros(num_frames)
            shift[[0, -1]] = sign * most, -sign * most
            shift[[i - 1, i]] = -sign * most, sign * most
            patterns.append(shift)
    for shift in patterns:
        stream = Stream(name="a", entry="frame", times=(np.arange(num_frames) + shift) / 20)
        assert findings([stream], fps=20, tolerance_seconds=None) == ()
        assert stream.interval == pytest.approx(1 / 20, rel=2 * most / (num_frames - 1) + 1e-9)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), num_frames=st.integers(8, 60), num_lost=st.integers(1, 3))
def test_lost_frames_are_found_and_counted(seed: int, num_frames: int, num_lost: int) -> None:
    random = np.random.default_rng(seed)
    place = int(random.integers(1, num_frames - num_lost - 1))
    times = (np.arange(num_frames) + random.uniform(-0.05, 0.05, num_frames)) / 20
    stream = Stream(name="a", entry="frame", times=np.delete(times, range(place, place + num_lost)))
    (found,) = findings([stream], fps=20, tolerance_seconds=None)
    assert found.startswith(f"a misses frames after frame {place - 1} (")
    assert stream.interval == pytest.approx(1 / 20, rel=0.1 / (num_frames - 1) + 1e-9)
