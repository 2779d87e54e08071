import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vpdata.stats import ArrayStatistics

ROWS = hnp.arrays(np.float64, st.tuples(st.integers(2, 40), st.just(3)), elements=st.floats(-1e3, 1e3, width=32))


@given(ROWS, st.data())
def test_merging_parts_equals_the_whole(
    rows: np.ndarray[tuple[int, int], np.dtype[np.float64]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(rows) - 1))
    merged = ArrayStatistics.of(rows[:cut]).merge(ArrayStatistics.of(rows[cut:]))
    assert merged.count == len(rows)
    assert (merged.min, merged.max) == (tuple(rows.min(axis=0)), tuple(rows.max(axis=0)))
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(merged.std, rows.std(axis=0), atol=1e-6)


def test_a_constant_dimension_stays_exactly_constant() -> None:
    rows = np.full((7, 1), 0.1)
    merged = ArrayStatistics.of(rows).merge(ArrayStatistics.of(rows[:3]))
    assert (merged.min, merged.max, merged.mean, merged.std) == ((0.1,), (0.1,), (0.1,), (0.0,))


def test_json_is_exact() -> None:
    stats = ArrayStatistics.of(np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32))
    assert ArrayStatistics.from_json(json.loads(json.dumps(stats.to_json()))) == stats
