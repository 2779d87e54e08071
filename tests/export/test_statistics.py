"""Statistics against numpy's of the same numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vpdata.export.statistics import QUANTILES, FeatureStatistics, count_levels, of_levels, of_rows, sampled_frames


def assert_are_of(statistics: FeatureStatistics, values: np.ndarray) -> None:
    """The statistics, their trailing axes aside, are those of values (N, D)."""
    expected = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    expected |= {name: np.quantile(values, at, axis=0) for name, at in QUANTILES.items()}
    found = statistics.to_json()
    assert set(found) == {*expected, "count"}
    for name, one in expected.items():
        np.testing.assert_allclose(np.ravel(found[name]), one, atol=1e-12, err_msg=name)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.floats(-9, 9, width=32)))
def test_rows(rows: np.ndarray) -> None:
    assert_are_of(of_rows(rows), rows.astype(np.float64))
    assert of_rows(rows).count == len(rows)


def test_a_column_has_one_dimension() -> None:
    assert of_rows(np.arange(5)).to_json()["mean"] == [2.0]


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.just(3))))
def test_pixels(frames: np.ndarray) -> None:
    statistics = of_levels(count_levels(frames), num_frames=len(frames))
    assert_are_of(statistics, frames.reshape(-1, 3) / 255)
    assert statistics.min.shape == statistics.quantiles["q99"].shape == (3, 1, 1)
    assert statistics.count == len(frames)


@pytest.mark.parametrize(("num_frames", "expected"), [(1, 1), (99, 99), (400, 100), (1000, 177), (20_000, 1681)])
def test_frames_are_sampled_as_lerobot_does(num_frames: int, expected: int) -> None:
    indices = sampled_frames(num_frames)
    assert len(indices) == len(set(indices)) == expected
    assert indices[0] == 0
    assert indices[-1] == num_frames - 1
