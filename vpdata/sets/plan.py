"""Which clips of which data sets shall be kept, in; a `SetPlan`, the new shards and all that the manifest says, out.

A plan is a pure function of the data sets' digests and the operation. It reads indexes and no shard.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata import __version__
from vpdata.errors import SetError
from vpdata.schema import Clip
from vpdata.sets.labels import Labels
from vpdata.shards.arrays import merged
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Index
from vpdata.shards.manifest import FORMAT_VERSION, Dropped, Input, Operation
from vpdata.stats import ArrayStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShard:
    """A shard to be: its file name, its clips (`start` to `stop` of the plan), and the frames that each camera has."""

    name: str
    start: int
    stop: int
    num_frames: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SetPlan:
    """A data set to be made from others.

    Attributes:
        operation: what is done, for the manifest.
        datasets: the inputs.
        inputs: (N,) int64, which data set each clip comes from, in the new order.
        rows: (N,) int64, its place there.
        labels: what the episodes of `relabelled` clips shall say; None where nothing changes.
        relabelled: (N,) bool.
        shard_frames: frames, of all cameras together, after which a shard is full.
        shards: in order.
        dropped: clips that are missing in episodes that are kept.
        tool_version: what every `json` names: the vpdata that wrote the clips, or this one where the inputs differ.
        statistics: those of the inputs together, where all their clips are kept; None where they are to be computed.
    """

    operation: Operation
    datasets: tuple[Dataset, ...]
    inputs: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: Labels | None
    relabelled: NDArray[np.bool_]
    shard_frames: int
    shards: tuple[PlannedShard, ...]
    dropped: tuple[Dropped, ...]
    tool_version: str
    statistics: Mapping[str, ArrayStatistics] | None

    def digest(self) -> str:
        """Hex SHA-256 by which a finished data set is known to be this plan's."""
        value = [FORMAT_VERSION, asdict(self.operation)]
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def clip(self, i: int) -> Clip:
        """Clip i of the new data set as its data set has it."""
        return self.datasets[int(self.inputs[i])].index.clip(int(self.rows[i]))


def make_plan(
    verb: str,
    arguments: Mapping[str, Any],
    datasets: Sequence[Dataset],
    inputs: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    shard_frames: int | None = None,
    labels: Labels | None = None,
    relabelled: NDArray[np.bool_] | None = None,
    reason: str = "",
) -> SetPlan:
    """Lays chosen clips out in shards, which are filled as an ingest fills them.

    Args:
        verb, arguments: of the operation, for the manifest.
        datasets, inputs, rows, labels, relabelled: see `SetPlan`.
        shard_frames: None for the most that an input was made with.
        reason: why clips of the same episodes are left out.

    Raises:
        SetError: nothing is left, two clips have the same key, inputs do not say how large their shards were meant to
            be, or spaces of one name have different numbers of dimensions.
    """
    if not len(rows):
        raise SetError("no clip is left.", hint="Keep some.")
    _refuse_equal_keys(datasets, inputs, rows)
    _refuse_other_dimensions(datasets)
    if shard_frames is None:
        shard_frames = max(_shard_frames(dataset) for dataset in datasets)
    versions = {dataset.manifest.tool_version for dataset in datasets}
    firsts = np.cumsum([0, *(len(dataset.index) for dataset in datasets)])
    places = firsts[inputs] + rows
    num_frames, num_cameras = (
        np.concatenate([count(dataset.index) for dataset in datasets])[places] for count in (_num_frames, _num_cameras)
    )
    return SetPlan(
        operation=Operation(
            verb=verb,
            arguments={**arguments, "shard_frames": shard_frames},
            tool_version=__version__,
            inputs=tuple(map(as_input, datasets)),
        ),
        datasets=tuple(datasets),
        inputs=inputs,
        rows=rows,
        labels=labels,
        relabelled=np.zeros(len(rows), np.bool_) if relabelled is None else relabelled,
        shard_frames=shard_frames,
        shards=tuple(_fill(num_frames, num_cameras, shard_frames)),
        dropped=tuple(_dropped(datasets, inputs, rows, reason)),
        tool_version=versions.pop() if len(versions) == 1 else __version__,
        statistics=merged(d.manifest.statistics for d in datasets) if len(rows) == firsts[-1] else None,
    )


def as_input(dataset: Dataset) -> Input:
    """What the manifest of a data set made from this one says of it."""
    manifest = dataset.manifest
    return Input(
        digest=dataset.digest,
        source=manifest.source,
        tool_version=manifest.tool_version,
        options=manifest.options,
        operation=manifest.operation,
    )


def _shard_frames(dataset: Dataset) -> int:
    if "shard_frames" not in dataset.manifest.options:
        what = "its manifest does not say how large its shards were meant to be."
        raise SetError(what, path=dataset.place, hint="Give --shard-frames.")
    return int(dataset.manifest.options["shard_frames"])


def _num_frames(index: Index) -> NDArray[np.int64]:
    return index.numbers("stop_frame") - index.numbers("start_frame")


def _num_cameras(index: Index) -> NDArray[np.int64]:
    cameras = index.codes("cameras")
    return np.array([len(json.loads(text)) for text in cameras.values], np.int64)[cameras.codes]


def _fill(num_frames: NDArray[np.int64], num_cameras: NDArray[np.int64], shard_frames: int) -> Iterator[PlannedShard]:
    """A shard takes clips until the next would bring it over `shard_frames`, but at least one."""
    ends = np.cumsum(num_frames * num_cameras)
    start = number = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(ends.searchsorted(before + shard_frames, "right")))
        name, frames = f"shard-{number:05d}.tar", int(num_frames[start:stop].sum())
        yield PlannedShard(name=name, start=start, stop=stop, num_frames=frames)
        start, number = stop, number + 1


def _refuse_equal_keys(datasets: Sequence[Dataset], inputs: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    if len(datasets) == 1:
        return
    columns = [dataset.index.codes("key") for dataset in datasets]
    keys = [columns[i].values[columns[i].codes[row]] for i, row in zip(inputs.tolist(), rows.tolist(), strict=True)]
    if len(set(keys)) < len(keys):
        key, _ = Counter(keys).most_common(1)[0]
        places = [datasets[i].place for i, found in zip(inputs.tolist(), keys, strict=True) if found == key]
        what = f"{' and '.join(places)} have different recordings under the same key."
        raise SetError(what, episode=key, hint="Leave one of them out with `vpdata delete`.")


def _refuse_other_dimensions(datasets: Sequence[Dataset]) -> None:
    known: dict[str, tuple[int, Dataset]] = {}
    for dataset in datasets:
        for space, statistics in dataset.manifest.statistics.items():
            dimensions, first = known.setdefault(space, (len(statistics.mean), dataset))
            if dimensions != len(statistics.mean):
                what = f"{space} has {len(statistics.mean)} dimensions here and {dimensions} in {first.place}."
                raise SetError(what, path=dataset.place, hint="They cannot be in one data set.")


def _dropped(
    datasets: Sequence[Dataset], inputs: NDArray[np.int64], rows: NDArray[np.int64], reason: str
) -> Iterator[Dropped]:
    """Of the episodes that are kept: what was missing in the inputs, and what is not kept now."""
    for number, dataset in enumerate(datasets):
        index = dataset.index
        kept = np.zeros(len(index), np.bool_)
        kept[rows[inputs == number]] = True
        digests = index.codes("content_digest")
        present = np.unique(digests.codes[kept])
        names = {digests.values[code] for code in present.tolist()}
        yield from (clip for clip in dataset.manifest.dropped if clip.content_digest in names)
        for row in np.flatnonzero(~kept & np.isin(digests.codes, present)).tolist():
            yield Dropped.of(index.clip(row), reason=reason)
