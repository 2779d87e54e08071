import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpdata.mixture.blocks import Blocks, block_order

sizes_and_step = st.lists(st.integers(1, 30), min_size=2, max_size=12).flatmap(
    lambda sizes: st.tuples(st.just(sizes), st.integers(1, len(sizes) - 1))
)


def windows_of(sizes: list[int], step: int, *, epoch: int, component: str = "a", seed: int = 0) -> list[int]:
    order = block_order(Blocks(shard_ends=np.cumsum(sizes), block_shards=step), key=(seed, component, epoch))
    return [order[i] for i in range(sum(sizes))]


@given(sizes_and_step, st.integers(0, 1000))
def test_an_epoch_finishes_a_block_of_shards_before_the_next(drawn: tuple[list[int], int], epoch: int) -> None:
    sizes, step = drawn
    windows = windows_of(sizes, step, epoch=epoch)
    assert sorted(windows) == list(range(sum(sizes)))
    shards = np.searchsorted(np.cumsum(sizes), windows, side="right").tolist()
    blocks: list[set[int]] = [set()]
    left = dict(enumerate(sizes))
    for shard in shards:
        if not any(left[other] for other in blocks[-1]):
            blocks.append(set())
        blocks[-1].add(shard)
        left[shard] -= 1
    assert all(len(block) <= step for block in blocks)
    assert sum(len(block) for block in blocks) == len(sizes)


def test_shards_of_a_block_are_mixed_and_epochs_differ() -> None:
    sizes = [50] * 12
    first, second = windows_of(sizes, 4, epoch=0), windows_of(sizes, 4, epoch=1)
    in_block = [window // 50 for window in first[:200]]
    assert len(set(in_block)) == 4
    assert sum(a != b for a, b in itertools.pairwise(in_block)) > 100  # expected: 149
    assert {window // 50 for window in second[:200]} != set(in_block)
    assert first != windows_of(sizes, 4, epoch=0, component="b") != windows_of(sizes, 4, epoch=0, seed=1)


def test_order_is_stable_across_releases() -> None:
    assert windows_of([2, 1, 3, 2], 2, epoch=0) == [3, 5, 4, 2, 7, 6, 1, 0]


@pytest.mark.parametrize("step", [1, 999])
def test_many_shards(step: int) -> None:
    assert sorted(windows_of([1, 2] * 500, step, epoch=3)) == list(range(1500))
