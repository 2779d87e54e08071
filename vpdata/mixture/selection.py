"""What a mixture says of one source and that source's data set enter; which of its clips are shown, and how, leaves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import MixtureError
from vpdata.mixture.holdout import clips_of
from vpdata.mixture.query import matching
from vpdata.mixture.spec import EVERY_TASK, SourceEntry
from vpdata.mixture.split import is_in_share
from vpdata.shards.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """Three answers about each of a data set's N clips.

    Attributes:
        kept: (N,) bool, the query keeps it.
        held_out: (N,) bool, it is of a held-out episode.
        labelled: (N,) bool, it has actions and they may be shown.
    """

    kept: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    labelled: NDArray[np.bool_]

    def shown(self, *, labelled: bool) -> NDArray[np.intp]:
        """The clips that training may see with (or without) their actions, ascending."""
        return np.flatnonzero(self.kept & ~self.held_out & (self.labelled == labelled))


def select(entry: SourceEntry, dataset: Dataset, *, seed: int, allow_missing: bool = False) -> Selection:
    """Applies query, held-out list, withheld tasks and the withheld share.

    An episode belongs to the withheld share by the hash of what it holds and the seed alone, whatever else is there.

    Args:
        entry: of the source.
        dataset: of the source.
        seed: of the mixture.
        allow_missing: let withheld tasks and held-out episodes pass that are not there.

    Raises:
        MixtureError: a withheld task or a held-out episode is not there, or the query is wrong or keeps nothing.
    """
    held_out, missing = clips_of(dataset.index, entry.held_out)
    if missing and not allow_missing:
        raise MixtureError(
            f"source {entry.name}: the held-out episode is not in the data set.",
            path=dataset.place,
            episode=min(missing),
            hint="Remove it from the mixture's held_out list, or make the mixture again with `vpdata mix`.",
        )
    return Selection(
        kept=kept_by_query(entry, dataset),
        held_out=held_out,
        labelled=_labelled(entry, dataset, allow_missing=allow_missing)
        & ~_in_withheld_share(entry, dataset, seed=seed),
    )


def kept_by_query(entry: SourceEntry, dataset: Dataset) -> NDArray[np.bool_]:
    """(N,) bool: the clips that the source's query keeps, all where it has none."""
    if not entry.query:
        return np.ones(len(dataset.index), dtype=np.bool_)
    return matching(dataset.index, entry.query, source=entry.name, place=dataset.place)


def _in_withheld_share(entry: SourceEntry, dataset: Dataset, *, seed: int) -> NDArray[np.bool_]:
    if not entry.withhold_share:
        return np.zeros(len(dataset.index), dtype=np.bool_)
    digests = dataset.index.codes("content_digest")
    chosen = [is_in_share(entry.withhold_share, seed, "withhold", digest) for digest in digests.values]
    return np.array(chosen, dtype=np.bool_)[digests.codes]


def _labelled(entry: SourceEntry, dataset: Dataset, *, allow_missing: bool) -> NDArray[np.bool_]:
    has_actions = dataset.index.numbers("num_actions") > 0
    if not entry.withhold:
        return has_actions
    tasks = dataset.index.codes("task")
    known = sorted({tasks.values[code] for code in np.unique(tasks.codes[has_actions]).tolist()})
    for task in entry.withhold:
        if not allow_missing and (not known or task not in (*known, EVERY_TASK)):
            raise MixtureError(
                f"source {entry.name}: cannot withhold the actions of task {task!r}, there are none.",
                path=dataset.place,
                hint=f"Tasks with actions: {', '.join(known)}." if known else "It has no actions at all.",
            )
    if EVERY_TASK in entry.withhold:
        return np.zeros_like(has_actions)
    withheld = [code for code, task in enumerate(tasks.values) if task in entry.withhold]
    return has_actions & ~np.isin(tasks.codes, withheld)
