"""A mixture and evaluation sets enter; what training shows of the episodes that it will be judged by leaves.

The evaluation side is the mixture's held-out episodes and any data sets named for evaluation; the training side is what
some position shows. Equal content digests are always found, at the cost of comparing digests. The same moments under
another file, format or encoding are found by `vpdata.curation`, which decodes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vpdata.curation.copies import find_copies
from vpdata.curation.stored import Chosen, StoredRecording, stored_recordings
from vpdata.errors import MixtureError
from vpdata.mixture.holdout import episode_key, episode_numbers
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.selection import select
from vpdata.mixture.stream import is_shown
from vpdata.shards.dataset import Dataset

MAX_TOLD = 5
"""Leaks that an error lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """An episode that training shows and one to evaluate on that hold the same.

    Attributes:
        training, evaluation: `source:file::episode`.
        score: 1.0 for equal recordings, else how well the footage fits (`vpdata.curation.footage`).
    """

    training: str
    evaluation: str
    score: float

    def is_allowed(self, names: Sequence[str]) -> bool:
        """Whether one of the names is that of one of the two episodes, or of its source."""
        return any(name in (side, side.split(":", 1)[0]) for side in (self.training, self.evaluation) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The clips of both sides, in any number of data sets."""

    training: tuple[Chosen, ...]
    evaluation: tuple[Chosen, ...]


def sides_of(mixture: Mixture, evaluation: Mapping[str, Dataset]) -> Sides:
    """Which clips training shows, and which are held out or in the evaluation sets.

    Args:
        mixture: an open mixture.
        evaluation: data sets to evaluate on, by name.
    """
    training, held_out = [], []
    for number, (entry, dataset) in enumerate(zip(mixture.spec.sources, mixture.datasets, strict=True)):
        shown = np.zeros(len(dataset.index), np.bool_)
        for component in mixture.components:
            if component.dataset == number and is_shown(component, mixture.action_free):
                shown[component.clips] = True
        selection = select(entry, dataset, seed=mixture.spec.seed, allow_missing=True)
        training.append(Chosen(name=entry.name, dataset=dataset, clips=shown))
        held_out.append(Chosen(name=entry.name, dataset=dataset, clips=selection.kept & selection.held_out))
    named = [Chosen(name=name, dataset=dataset) for name, dataset in evaluation.items()]
    return Sides(training=tuple(training), evaluation=(*held_out, *named))


def equal_recordings(sides: Sides) -> list[Leak]:
    """The episodes of both sides whose recordings are equal (content digests), in the order of the sets."""
    shown = _episodes_by_content(sides.training)
    return [
        Leak(training=training, evaluation=name, score=1.0)
        for content, names in _episodes_by_content(sides.evaluation).items()
        for training in shown.get(content, ())
        for name in names
    ]


def equal_footage(sides: Sides, *, progress: Callable[[int], object] = lambda _: None) -> list[Leak]:
    """The episodes of both sides that show the same moments, though their recordings are not equal.

    Args:
        sides: from `sides_of`.
        progress: called with a number of recordings whenever they are hashed, and of pairs whenever they are compared.

    Raises:
        ShardError: a clip is damaged, or the cache of hashes cannot be written.
    """
    shown = stored_recordings(sides.training, progress=progress)
    held_out = stored_recordings(sides.evaluation, progress=progress)
    best: dict[tuple[str, str], float] = {}
    for copy in find_copies(shown, against=held_out, progress=progress).copies:
        pair = _name(shown.recordings[copy.first]), _name(held_out.recordings[copy.second])
        best[pair] = max(copy.score, best.get(pair, 0.0))
    return [Leak(training=first, evaluation=second, score=score) for (first, second), score in best.items()]


def refuse(leaks: Sequence[Leak], *, allowed: Sequence[str]) -> None:
    """Raises MixtureError if there are leaks that none of the `allowed` names is of."""
    refused = [leak for leak in leaks if not leak.is_allowed(allowed)]
    if not refused:
        return
    told = [f"{leak.evaluation} is shown as {leak.training} (likeness {leak.score:.3f})" for leak in refused[:MAX_TOLD]]
    if len(refused) > MAX_TOLD:
        told.append(f"and {len(refused) - MAX_TOLD} more")
    raise MixtureError(
        f"training would show what is there to evaluate on: {'; '.join(told)}.",
        hint=f"Leave one of the two out (`--query`, `vpdata delete`), or allow it by name: "
        f"--allow-leak '{refused[0].evaluation}', or a source's name for all of its episodes.",
    )


def _episodes_by_content(sets: Sequence[Chosen]) -> dict[str, list[str]]:
    """Content digest -> names of the episodes that hold it."""
    found: dict[str, list[str]] = {}
    for chosen in sets:
        index = chosen.dataset.index
        rows = np.arange(len(index)) if chosen.clips is None else np.flatnonzero(chosen.clips)
        _, firsts = np.unique(episode_numbers(index)[rows], return_index=True)
        columns = [(index.codes(name), rows[firsts]) for name in ("content_digest", "file", "episode_id")]
        texts = ([text.values[code] for code in text.codes[some].tolist()] for text, some in columns)
        for content, file, episode in zip(*texts, strict=True):
            found.setdefault(content, []).append(f"{chosen.name}:{file}::{episode}")
    return found


def _name(recording: StoredRecording) -> str:
    return f"{recording.name}:{episode_key(recording.first_clip.episode)}"
