"""Two data sets in, which clips differ between them out; reads their indexes and no shard.

A clip is known by its key, which names what was recorded and where the clip begins. Its contents are the same where all
members have the same names, sizes and CRC-32.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vpdata.clips.encode import PROVENANCE
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A clip that both data sets have, and its members that are not the same, those that only one has included."""

    key: str
    task: str
    members: tuple[str, ...]

    @property
    def only_labels(self) -> bool:
        """Whether its recording is the same, and only what it says of itself differs."""
        return self.members == (PROVENANCE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What leads from data set `a` to data set `b`; keys in the order of the data set that has them.

    Attributes:
        a, b: digests.
        added, removed: task by key.
        changed: clips of both whose contents differ.
        num_equal: clips of both whose contents do not.
        reordered: the clips that both have stand in another order.
        manifest: fields of the manifest, other than files and counts, that differ.
    """

    a: str
    b: str
    added: Mapping[str, str]
    removed: Mapping[str, str]
    changed: tuple[Change, ...]
    num_equal: int
    reordered: bool
    manifest: tuple[str, ...]


def difference(a: Dataset, b: Dataset) -> Difference:
    """Compares two data sets.

    Raises:
        ShardError: a manifest or index cannot be read.
    """
    rows_a, rows_b = _rows(a.index), _rows(b.index)
    added = {key: _task(b.index, row) for key, row in rows_b.items() if key not in rows_a}
    removed = {key: _task(a.index, row) for key, row in rows_a.items() if key not in rows_b}
    common = [key for key in rows_b if key in rows_a]
    changed = []
    for key in common:
        was, now = _members(a.index, rows_a[key]), _members(b.index, rows_b[key])
        if was != now:
            names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
            changed.append(Change(key=key, task=_task(b.index, rows_b[key]), members=tuple(names)))
    order = np.array([rows_a[key] for key in common], np.int64)
    return Difference(
        a=a.digest,
        b=b.digest,
        added=added,
        removed=removed,
        changed=tuple(changed),
        num_equal=len(common) - len(changed),
        reordered=bool(np.any(np.diff(order) < 0)),
        manifest=_fields(a, b),
    )


def _rows(index: Index) -> dict[str, int]:
    keys = index.codes("key")
    return {keys.values[code]: row for row, code in enumerate(keys.codes.tolist())}


def _task(index: Index, row: int) -> str:
    tasks = index.codes("task")
    return tasks.values[int(tasks.codes[row])]


def _members(index: Index, row: int) -> dict[str, tuple[int, int]]:
    """Size and CRC-32 by name."""
    _, names, _, sizes, crc32s = index.places(row)
    return {name: (size, crc32) for name, size, crc32 in zip(names, sizes, crc32s, strict=True)}


def _fields(a: Dataset, b: Dataset) -> tuple[str, ...]:
    was, now = (json.loads(dataset.manifest.to_bytes()) for dataset in (a, b))
    names = ("tool_version", "source", "options", "statistics", "skipped", "dropped", "operation")
    return tuple(name for name in names if was.get(name) != now.get(name))
