"""Finished data sets in, their episodes put together again out: every frame once, or an error saying what is missing.

    clip 0   |== taken ==|-- shared --|
    clip 1               |== taken ==|-- shared --|
    clip 2                           |== taken to its end =====|

So what is taken of a clip always begins with its first frame, which a video codec can decode without those before.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import ExportError
from vpdata.schema import Clip, Episode
from vpdata.shards.dataset import Dataset

Only = Literal["labelled", "action-free"]
CHUNK = 32
"""Frames that are decoded at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """The first `num_frames` frames of the clip in row `row` of its data set's index."""

    row: int
    num_frames: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Frames of one recording without a gap, which become one exported episode.

    Attributes:
        dataset: where its clips are.
        episode: the recording.
        start: the run's first frame in the recording.
        takes: what it is put together from, in order.
        labelled: every frame has an action; otherwise none has.
    """

    dataset: Dataset
    episode: Episode
    start: int
    takes: tuple[Take, ...]
    labelled: bool

    @property
    def num_frames(self) -> int:
        """Frames of every camera; actions and states, where there are any, are as many."""
        return sum(take.num_frames for take in self.takes)

    @property
    def name(self) -> str:
        """The recording, for messages."""
        return f"{self.episode.file}::{self.episode.episode_id}"

    def clips(self) -> Iterator[tuple[Clip, int]]:
        """Each clip, and how many of its first frames belong to the run."""
        for take in self.takes:
            yield self.dataset.clips[take.row], take.num_frames

    def actions(self) -> NDArray[np.generic]:
        """(num_frames, D) in the recorded dtype; row t follows frame t. Only of a labelled run."""
        return self._rows(self.dataset.actions)

    def state(self) -> NDArray[np.generic]:
        """(num_frames, D) in the recorded dtype; row t goes with frame t. Only of an episode with a state space."""
        return self._rows(self.dataset.state)

    def frames(self, camera: str, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """RGB `HWC` frames of one camera at rising indices, which count from the run's first frame."""
        before, wanted = 0, np.asarray(indices, np.int64)
        for take in self.takes:
            inside = wanted[(wanted >= before) & (wanted < before + take.num_frames)] - before
            for first in range(0, len(inside), CHUNK):
                clip = self.dataset.clips[take.row]
                yield from self.dataset.frames(clip, camera, inside[first : first + CHUNK].tolist())
            before += take.num_frames

    def _rows(self, read: Callable[[Clip], NDArray[np.generic] | None]) -> NDArray[np.generic]:
        rows = np.concatenate([read(clip)[:num_frames] for clip, num_frames in self.clips()])  # type: ignore[index]
        assert len(rows) == self.num_frames
        return rows


def assemble(datasets: Sequence[Dataset], *, only: Only | None = None, split_at_gaps: bool = False) -> list[Run]:
    """The episodes of all data sets, each where its first clip stands.

    A labelled run ends with its last action, as nothing is known of what followed the frames after it.

    Args:
        datasets: no recording may be in two of them.
        only: leave out the runs without actions, or those with.
        split_at_gaps: an episode with missing clips gives a run for each contiguous part.

    Raises:
        ExportError: a recording comes twice, frames of an episode are in no clip, some runs have actions and some do
            not, or there is nothing to export.
    """
    _refuse_shared(datasets)
    runs = [run for dataset in datasets for run in _runs(dataset, split_at_gaps=split_at_gaps)]
    labelled = [run for run in runs if run.labelled]
    if only is None and 0 < len(labelled) < len(runs):
        what = (
            f"{len(labelled)} episodes have actions and {len(runs) - len(labelled)} have none; one export cannot hold"
        )
        raise ExportError(f"{what} both.", hint="Export them apart, with --only labelled and with --only action-free.")
    if only is not None:
        runs = labelled if only == "labelled" else [run for run in runs if not run.labelled]
    if not runs:
        what = "there is no episode to export" + (f" that is {only}." if only else ".")
        raise ExportError(what, path=" ".join(dataset.place for dataset in datasets))
    return runs


def _refuse_shared(datasets: Sequence[Dataset]) -> None:
    owners: dict[str, Dataset] = {}
    for dataset in datasets:
        for digest in dataset.index.codes("content_digest").values:
            first = owners.setdefault(digest, dataset)
            if first is not dataset:
                what = f"a recording in it is also in {first.place} (content digest {digest[:8]})."
                hint = "Make one of them with `vpdata merge --keep-first`, and export that."
                raise ExportError(what, path=dataset.place, hint=hint)


def _runs(dataset: Dataset, *, split_at_gaps: bool) -> Iterator[Run]:
    index = dataset.index
    codes = index.codes("content_digest").codes
    starts, stops = index.numbers("start_frame"), index.numbers("stop_frame")
    order = np.lexsort((starts, codes))
    bounds = np.flatnonzero(np.diff(codes[order])) + 1
    groups = sorted(np.split(order, bounds), key=lambda rows: int(rows.min())) if len(order) else []
    for rows in groups:
        episode = dataset.clips[int(rows[0])].episode
        _check_spans(dataset, episode, starts[rows], stops[rows], gaps_allowed=split_at_gaps)
        breaks = np.flatnonzero(starts[rows][1:] > stops[rows][:-1]) + 1
        for part in np.split(rows, breaks):
            lengths = np.append(np.diff(starts[part]), stops[part[-1]] - starts[part[-1]])
            takes = [Take(row=r, num_frames=n) for r, n in zip(part.tolist(), lengths.tolist(), strict=True)]
            yield _trimmed(
                Run(dataset=dataset, episode=episode, start=int(starts[part[0]]), takes=tuple(takes), labelled=False)
            )


def _check_spans(
    dataset: Dataset, episode: Episode, starts: NDArray[np.int64], stops: NDArray[np.int64], *, gaps_allowed: bool
) -> None:
    name = f"{episode.file}::{episode.episode_id}"
    if (np.diff(starts) == 0).any():
        what = "two clips begin at the same frame."
        raise ExportError(what, path=dataset.place, episode=name, hint=f"See `vpdata validate {dataset.place}`.")
    reached, following = np.append(0, stops), np.append(starts, episode.num_frames)
    missing = np.flatnonzero(following > reached)
    if len(missing) and not gaps_allowed:
        first, last = int(reached[missing[0]]), int(following[missing[0]]) - 1
        raise ExportError(
            f"frames {first} to {last} of {episode.num_frames} are in no clip.",
            path=dataset.place,
            episode=name,
            hint="Give --split-at-gaps to export each run without a gap as an episode, or leave it out with "
            "`vpdata delete`.",
        )


def _trimmed(run: Run) -> Run:
    """The run up to its last action; as it is where it has none."""
    num_actions = min(run.num_frames, run.episode.num_actions - run.start)
    if num_actions <= 0:
        return run
    takes, before = [], 0
    for take in run.takes:
        kept = min(take.num_frames, num_actions - before)
        if kept > 0:
            takes.append(replace(take, num_frames=kept))
        before += take.num_frames
    return replace(run, takes=tuple(takes), labelled=True)
