import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vpdata.loader.draws import draws

POSITIONS = st.lists(st.integers(0, 10**18), min_size=1, max_size=5)


@given(seed=st.integers(-(2**70), 2**70), positions=POSITIONS, count=st.integers(1, 9), more=st.integers(0, 5))
def test_a_position_draws_the_same_in_any_company(seed: int, positions: list[int], count: int, more: int) -> None:
    together = draws(seed, positions, purpose="jitter", count=count + more)
    assert together.shape == (len(positions), count + more)
    for row, position in zip(together, positions, strict=True):
        np.testing.assert_array_equal(draws(seed, [position], purpose="jitter", count=count)[0], row[:count])


def test_draws_are_uniform_and_independent_of_each_other() -> None:
    values = draws(3, range(4000), purpose="jitter", count=4)
    assert values.min() >= 0
    assert values.max() < 1
    np.testing.assert_allclose(values.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(values.var(axis=0), 1 / 12, atol=0.005)
    following = np.corrcoef(np.concatenate([values[1:], values[:-1]], axis=1), rowvar=False)
    assert np.abs(following - np.eye(8)).max() < 0.06
    others = [draws(4, range(4000), purpose="jitter", count=4), draws(3, range(4000), purpose="crop", count=4)]
    assert all(abs(np.corrcoef(values.ravel(), other.ravel())[0, 1]) < 0.03 for other in others)


def test_draws_are_the_same_in_every_release() -> None:
    np.testing.assert_allclose(draws(0, [0, 10**15], purpose="jitter", count=2), GOLDEN, rtol=0, atol=1e-15)


GOLDEN = [[0.973990698988402, 0.40336277831173384], [0.10949039440267716, 0.6132937813327656]]
