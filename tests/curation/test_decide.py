"""Planted spans are found to the frame, nothing is lost, and what real recordings show is kept."""

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from tests.curation import planted
from vpdata.curation.decide import Decisions, decide
from vpdata.curation.measure import measure
from vpdata.curation.measurements import Measurements
from vpdata.curation.thresholds import Thresholds


def tiles(spans: Iterable[tuple[int, int]], num_frames: int) -> bool:
    """Whether each frame is in exactly one span."""
    ordered = sorted(spans)
    return [0, *(stop for _, stop in ordered)] == [*(start for start, _ in ordered), num_frames]


def check(decisions: Decisions, num_frames: int) -> None:
    assert tiles(((span.start, span.stop) for span in (*decisions.kept, *decisions.dropped)), num_frames)
    for span in (*decisions.kept, *decisions.dropped):
        assert not any(span.start < cut < span.stop for cut in decisions.cuts)


@pytest.mark.parametrize("number", range(len(planted.ENCODERS)))
def test_every_planted_span_is_found(number: int, recordings: Path, tmp_path: Path) -> None:
    reel = planted.with_faults(planted.scenes(recordings), random.Random(number))
    measured = measure(reel.write(tmp_path / "reel.mp4", planted.ENCODERS[number]))
    decisions = decide(measured, Thresholds(short_seconds=0.5))
    check(decisions, len(reel))
    assert [reason for reason, _, _ in reel.spans].count("black") == 2
    found = [span for span in decisions.dropped if span.reason != "short"]
    assert [span.reason for span in found] == [reason for reason, _, _ in reel.spans]
    for span, (reason, start, stop) in zip(found, reel.spans, strict=True):
        tolerance = 2 if reason == "blurry" else 1  # the encoder needs a frame or two to let go of the sharp picture
        assert abs(span.start - start) <= tolerance
        assert abs(span.stop - stop) <= tolerance
        assert span.stop_seconds - span.start_seconds == pytest.approx((span.stop - span.start) / planted.FPS)
    lost = sum(span.stop - span.start for span in decisions.dropped if span.reason == "short")
    assert lost <= 2 * len(reel.spans)


def test_real_recordings_are_kept_whole(recordings: Path) -> None:
    for path in sorted((recordings / "video").iterdir()):
        measured = measure(path)
        decisions = decide(measured, Thresholds(small_pixels=95))
        check(decisions, len(measured))
        if len(measured) == 1:
            assert [span.reason for span in decisions.dropped] == ["short"]
        else:
            assert [(span.start, span.stop) for span in decisions.kept] == [(0, len(measured))], path.name


def synthetic(num_frames: int, **columns: float) -> Measurements:
    """Sharp, bright, moving frames at 20 a second, but for the given columns."""
    usual = {"sharpness": 500.0, "peak_motion": 10.0, "motion": 1.0}
    return Measurements(
        height=128,
        width=128,
        fps=20.0,
        seconds=np.arange(num_frames) / 20,
        columns={
            name: np.full(num_frames, columns.get(name, usual.get(name, 0.0)), np.float32)
            for name in Measurements.COLUMNS
        },
        hashes={},
        thumbnails=(),
    )


def reasons(decisions: Decisions) -> list[tuple[str, int, int]]:
    return [(span.reason, span.start, span.stop) for span in decisions.dropped]


def test_a_title_card_is_dropped_with_its_first_frame() -> None:
    measured = synthetic(100)
    measured.columns["peak_motion"][41:70] = 0.1
    measured.columns["content"][[40, 70]] = 50
    assert reasons(decide(measured, Thresholds())) == [("frozen", 40, 70)]


def test_a_freeze_inside_a_scene_keeps_its_first_frame() -> None:
    measured = synthetic(100)
    measured.columns["peak_motion"][41:70] = 0.1
    measured.columns["peak_motion"][50] = 2.9  # a key frame
    assert reasons(decide(measured, Thresholds())) == [("frozen", 41, 70)]


def test_a_pause_is_static_only_when_it_is_long() -> None:
    measured = synthetic(200)
    measured.columns["peak_motion"][30:89] = 1.2
    assert reasons(decide(measured, Thresholds())) == []
    measured.columns["peak_motion"][30:91] = 1.2
    assert reasons(decide(measured, Thresholds())) == [("static", 30, 91)]


def test_black_goes_before_frozen_and_blurry() -> None:
    measured = synthetic(100, sharpness=0.0, black_share=1.0, peak_motion=0.0)
    assert reasons(decide(measured, Thresholds())) == [("black", 0, 100)]


def test_a_small_video_is_dropped_whole_with_what_was_measured() -> None:
    (span,) = decide(synthetic(100), Thresholds(small_pixels=129)).dropped
    assert (span.reason, span.start, span.stop, span.measured, span.threshold) == ("small", 0, 100, 128.0, 129.0)


def test_pieces_between_cuts_that_are_too_short_are_dropped() -> None:
    measured = synthetic(100)
    measured.columns["content"][[40, 59]] = 50
    decisions = decide(measured, Thresholds())
    assert reasons(decisions) == [("short", 40, 59)]
    assert decisions.cuts == (40, 59)
    assert [(span.start, span.stop) for span in decisions.kept] == [(0, 40), (59, 100)]


def test_any_measurements_leave_each_frame_in_one_span() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        num_frames = int(rng.integers(1, 200))
        measured = synthetic(num_frames)
        for name, scale in (("content", 20), ("peak_motion", 2), ("sharpness", 40), ("black_share", 1.02)):
            levels = rng.random(num_frames // 10 + 1).repeat(10)[:num_frames]
            measured.columns[name][:] = scale * levels
        check(decide(measured, Thresholds(static_seconds=0.4, frozen_seconds=0.2)), num_frames)
