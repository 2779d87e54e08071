"""Windows a shard and a block size enter; an order of all windows that stays in few shards at a time leaves.

In every epoch the shards are put in a new order and taken `block_shards` at a time; the windows of such a block are
permuted among themselves. Whoever reads in this order needs no more than `block_shards` shards at hand.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vpdata.mixture.permutation import permutation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """How a component's windows lie in shards.

    Attributes:
        shard_ends: (S,) int64, running total of the shards' windows.
        block_shards: shards of a block, less than S.
    """

    shard_ends: NDArray[np.int64]
    block_shards: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockOrder:
    """A bijection of range(number of windows): the order of one epoch.

    Attributes:
        key: of the component and epoch.
        firsts: (S,) int64, each shard's first window, in the order of this epoch.
        ends: (S,) int64, running total of the shards' windows, in the order of this epoch.
        block_ends: running total of the blocks' windows.
    """

    key: tuple[int | str, ...]
    firsts: NDArray[np.int64]
    ends: NDArray[np.int64]
    block_ends: NDArray[np.int64]

    def __getitem__(self, index: int) -> int:
        """The window that comes at place `index` of the epoch."""
        block = int(self.block_ends.searchsorted(index, "right"))
        first = int(self.block_ends[block - 1]) if block else 0
        size = int(self.block_ends[block]) - first
        place = first + permutation(size, key=(*self.key, block))[index - first]
        shard = int(self.ends.searchsorted(place, "right"))
        return int(self.firsts[shard]) + place - (int(self.ends[shard - 1]) if shard else 0)


@lru_cache(maxsize=256)
def block_order(blocks: Blocks, *, key: tuple[int | str, ...]) -> BlockOrder:
    """The order of one epoch; takes time in proportion to the shards, and is kept."""
    num_shards, step = len(blocks.shard_ends), blocks.block_shards
    shuffled = permutation(num_shards, key=("shards", *key))
    shards = np.array([shuffled[i] for i in range(num_shards)], dtype=np.int64)
    sizes = np.diff(blocks.shard_ends, prepend=0)
    ends = np.cumsum(sizes[shards])
    return BlockOrder(
        key=key,
        firsts=(blocks.shard_ends - sizes)[shards],
        ends=ends,
        block_ends=np.append(ends[step - 1 : -1 : step], ends[-1]),
    )
