"""A mixture's specification and its open data sets enter; the components, lists of windows, leave.

Each source splits into at most two components: its labelled windows, which have at least one action, and its
action-free windows, from clips without actions or with actions withheld. Held-out episodes are in neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import MixtureError
from vpdata.mixture.holdout import episode_key
from vpdata.mixture.spec import EVERY_TASK, MixtureSpec, SourceEntry
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Component:
    """The labelled or the action-free windows of one source.

    Attributes:
        source, dataset: the source's name and its place among the mixture's data sets.
        labelled: whether the windows come with their actions.
        weight: relative to the other components of the same pool.
        clips: (C,) int64, places in the data set's clips.
        window_ends: (C,) int64, running total of the clips' windows.
    """

    source: str
    dataset: int
    labelled: bool
    weight: Fraction
    clips: NDArray[np.int64]
    window_ends: NDArray[np.int64]

    @property
    def name(self) -> str:
        """`SOURCE/labelled` or `SOURCE/action-free`; part of the order."""
        return f"{self.source}/{'labelled' if self.labelled else 'action-free'}"

    @property
    def num_windows(self) -> int:
        """Windows that one epoch shows, at least 1."""
        return int(self.window_ends[-1])

    def window(self, index: int) -> tuple[int, int]:
        """The clip (place in the data set) and the start (frame in that clip) of window `index`."""
        i = int(np.searchsorted(self.window_ends, index, side="right"))
        first = int(self.window_ends[i - 1]) if i else 0
        return int(self.clips[i]), index - first


def is_labelled(clip: Clip, entry: SourceEntry) -> bool:
    """Whether the mixture shows this clip with its actions."""
    withheld = EVERY_TASK in entry.withhold or clip.episode.task in entry.withhold
    return clip.num_actions > 0 and not withheld


def build_components(spec: MixtureSpec, datasets: Sequence[Dataset]) -> tuple[Component, ...]:
    """The components that have windows, in the order of the sources, labelled first.

    Raises:
        MixtureError: a withheld task or a held-out episode is not there.
    """
    components: list[Component] = []
    for i, (entry, dataset) in enumerate(zip(spec.sources, datasets, strict=True)):
        _check_names(entry, dataset)
        held_out = set(entry.held_out)
        places: dict[bool, list[int]] = {True: [], False: []}
        counts: dict[bool, list[int]] = {True: [], False: []}
        for place, clip in enumerate(dataset.clips):
            if episode_key(clip.episode) in held_out:
                continue
            labelled = is_labelled(clip, entry)
            places[labelled].append(place)
            counts[labelled].append(clip.num_labelled_starts if labelled else clip.span.num_starts)
        for labelled in (True, False):
            if not places[labelled]:
                continue
            components.append(
                Component(
                    source=entry.name,
                    dataset=i,
                    labelled=labelled,
                    weight=Fraction(sum(counts[labelled])) if entry.weight is None else entry.weight,
                    clips=np.array(places[labelled], dtype=np.int64),
                    window_ends=np.cumsum(counts[labelled], dtype=np.int64),
                )
            )
    return tuple(components)


def _check_names(entry: SourceEntry, dataset: Dataset) -> None:
    tasks = sorted({clip.episode.task for clip in dataset.clips if clip.num_actions})
    for task in entry.withhold:
        if not tasks or task not in (*tasks, EVERY_TASK):
            known = f"Tasks with actions: {', '.join(tasks)}." if tasks else "It has no actions at all."
            raise MixtureError(
                f"source {entry.name}: cannot withhold the actions of task {task!r}, there are none.",
                path=dataset.path,
                hint=known,
            )
    missing = set(entry.held_out) - {episode_key(clip.episode) for clip in dataset.clips}
    if missing:
        raise MixtureError(
            f"source {entry.name}: the held-out episode is not in the data set.",
            path=dataset.path,
            episode=min(missing),
            hint="Remove it from the mixture's held_out list, or make the mixture again with `vpdata mix`.",
        )
