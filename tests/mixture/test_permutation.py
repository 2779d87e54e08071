import itertools
from collections import Counter

import pytest

from vpdata.mixture.permutation import permutation


def order(size: int, *, seed: int = 0, component: str = "a", epoch: int = 0) -> list[int]:
    chosen = permutation(size, key=(seed, component, epoch))
    return [chosen[i] for i in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 1000, 4097])
def test_every_index_comes_once(size: int) -> None:
    assert sorted(order(size)) == list(range(size))


@pytest.mark.parametrize("changed", [{"seed": 1}, {"component": "b"}, {"epoch": 1}])
def test_another_key_is_an_independent_order(changed: dict[str, int | str]) -> None:
    same_place = sum(a == b for a, b in zip(order(5000), order(5000, **changed), strict=True))  # type: ignore[arg-type]
    assert same_place < 10  # expected: 1, Poisson


def test_places_are_uniform_over_epochs() -> None:
    size, epochs = 7, 3000
    seen = Counter((i, place) for epoch in range(epochs) for i, place in enumerate(order(size, epoch=epoch)))
    expected = epochs / size
    chi_squared = sum((seen[i, j] - expected) ** 2 / expected for i in range(size) for j in range(size))
    assert chi_squared < 85  # 36 degrees of freedom: mean 36, the 1 - 1e-5 quantile is 85


def test_neighbours_scatter() -> None:
    places = order(4096)
    steps = [abs(b - a) for a, b in itertools.pairwise(places)]
    assert 1250 < sum(steps) / len(steps) < 1480  # expected: size / 3


def test_order_is_stable_across_releases() -> None:
    assert order(10) == [5, 8, 7, 4, 0, 2, 6, 3, 9, 1]


def test_no_index_outside() -> None:
    with pytest.raises(IndexError):
        permutation(5, key=(0, "a", 0))[5]
    with pytest.raises(ValueError, match="no permutation of 0"):
        permutation(0, key=(0, "a", 0))


def test_huge_sizes_need_no_memory() -> None:
    chosen = permutation(2**64, key=(0, "a", 10**9))
    assert len({chosen[i] for i in range(2**64 - 1000, 2**64)}) == 1000
