"""A mixture's specification and its open data sets enter; the components, lists of windows, leave.

Each source splits into its labelled windows, which have at least one action, and its action-free windows, from clips
without actions or with actions withheld; with `balance = "task"` each of the two splits again into tasks. What the
query drops and what is held out is in none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vpdata.mixture.blocks import BlockOrder, Blocks, block_order
from vpdata.mixture.exact import tempered
from vpdata.mixture.permutation import Permutation, permutation
from vpdata.mixture.selection import select
from vpdata.mixture.spec import MixtureSpec, SourceEntry
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Component:
    """The labelled or the action-free windows of one source, or of one task of it.

    Attributes:
        name: `SOURCE/labelled`, `SOURCE/action-free`, or `SOURCE:TASK/…`; part of the order.
        source, dataset: the source's name and its place among the mixture's data sets.
        labelled: whether the windows come with their actions.
        weight: relative to the other components of the same pool.
        clips: (C,) int64, places in the data set's clips, ascending.
        window_ends: (C,) int64, running total of the clips' windows.
        num_windows: that one epoch shows, at least 1.
        blocks: how the windows lie in shards, where the order goes by blocks of them.
    """

    name: str
    source: str
    dataset: int
    labelled: bool
    weight: Fraction
    clips: NDArray[np.int64]
    window_ends: NDArray[np.int64]
    num_windows: int
    blocks: Blocks | None

    def order(self, epoch: int, *, seed: int) -> Permutation | BlockOrder:
        """The windows in the order in which one epoch shows them."""
        key = (seed, self.name, epoch)
        return permutation(self.num_windows, key=key) if self.blocks is None else block_order(self.blocks, key=key)

    def window(self, index: int) -> tuple[int, int]:
        """The clip (place in the data set) and the start (frame in that clip) of window `index`."""
        i = int(self.window_ends.searchsorted(index, "right"))
        first = int(self.window_ends[i - 1]) if i else 0
        return int(self.clips[i]), index - first


def build_components(
    spec: MixtureSpec, datasets: Sequence[Dataset], *, allow_missing: bool = False
) -> tuple[Component, ...]:
    """The components that have windows: in the order of the sources, labelled first, tasks by name.

    Raises:
        MixtureError: see `select`.
    """
    components: list[Component] = []
    for i, (entry, dataset) in enumerate(zip(spec.sources, datasets, strict=True)):
        selection = select(entry, dataset, seed=spec.seed, allow_missing=allow_missing)
        for labelled in (True, False):
            clips = selection.shown(labelled=labelled)
            if len(clips):
                components += _pool_part(spec, entry, i, dataset.index, clips, labelled=labelled)
    return tuple(components)


def num_windows_of(index: Index, clips: NDArray[np.integer], *, labelled: bool) -> NDArray[np.int64]:
    """(C,) int64: the windows of each of these clips; a labelled window starts at a frame that has an action."""
    counts: NDArray[np.int64] = index.numbers("num_starts")[clips]
    if labelled:
        counts = np.minimum(counts, index.numbers("num_actions")[clips])
    return counts


def _pool_part(
    spec: MixtureSpec, entry: SourceEntry, dataset: int, index: Index, clips: NDArray[np.int64], *, labelled: bool
) -> Iterator[Component]:
    """What one source gives to one pool: a component, or one a task."""
    counts = num_windows_of(index, clips, labelled=labelled)
    weight = entry.weight or tempered(int(counts.sum()), spec.temperature)
    parts = _by_task(index, clips) if spec.balance_tasks else {"": np.arange(len(clips))}
    for task, rows in parts.items():
        ends = np.cumsum(counts[rows])
        yield Component(
            name=f"{entry.name}{f':{task}' if task else ''}/{'labelled' if labelled else 'action-free'}",
            source=entry.name,
            dataset=dataset,
            labelled=labelled,
            weight=weight / len(parts),
            clips=clips[rows],
            window_ends=ends,
            num_windows=int(ends[-1]),
            blocks=_blocks(index, clips[rows], ends, spec.block_shards),
        )


def _by_task(index: Index, clips: NDArray[np.int64]) -> dict[str, NDArray[np.intp]]:
    """Places in `clips` by task, sorted by name; clips without a task are one."""
    tasks = index.codes("task")
    codes = tasks.codes[clips]
    order = np.argsort(codes, kind="stable")
    found, firsts = np.unique(codes[order], return_index=True)
    places = zip((tasks.values[code] for code in found.tolist()), np.split(order, firsts[1:]), strict=True)
    return dict(sorted(places, key=lambda place: place[0]))


def _blocks(
    index: Index, clips: NDArray[np.int64], window_ends: NDArray[np.int64], block_shards: int | None
) -> Blocks | None:
    """None where all shards are one block."""
    if block_shards is None:
        return None
    shards = index.codes("shard").codes[clips]
    lasts = np.append(np.flatnonzero(np.diff(shards)), len(shards) - 1)
    if len(lasts) <= block_shards:
        return None
    return Blocks(shard_ends=window_ends[lasts], block_shards=block_shards)
