import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpdata.clips.span import plan_spans


@given(st.integers(1, 5000), st.integers(1, 400), st.integers(1, 200))
def test_spans_own_every_start_once_and_hold_its_window(num_frames: int, clip_starts: int, window_span: int) -> None:
    spans = plan_spans(num_frames, clip_starts=clip_starts, window_span=window_span)
    owned = [start for span in spans for start in range(span.start, span.start + span.num_starts)]
    assert owned == list(range(num_frames))
    for span in spans:
        last = span.start + span.num_starts - 1
        assert span.stop == min(num_frames, last + window_span)
    for span in spans[:-1]:
        assert span.num_starts == clip_starts
    assert spans[-1].num_starts <= clip_starts + window_span
    assert len(spans) == 1 or spans[-1].num_starts > window_span


def test_a_short_episode_is_one_clip() -> None:
    assert len(plan_spans(320)) == 1
    assert [(s.start, s.stop, s.num_starts) for s in plan_spans(321)] == [(0, 319, 256), (256, 321, 65)]


@pytest.mark.parametrize("bad", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_nothing_is_no_plan(bad: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_spans(bad[0], clip_starts=bad[1], window_span=bad[2])
