"""Data sets and an operation in; the plan of the data set that it makes out.

`merge`, `keep` (by condition), `keep_side` (of a split), `subset` (at random), `delete`, `relabel`, `reshard`. Videos
and arrays are never touched; only `relabel` changes what a clip's `json` says.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SetError
from vpdata.mixture.hashing import keyed_integer
from vpdata.mixture.holdout import clips_of
from vpdata.mixture.query import matching
from vpdata.mixture.split import Split
from vpdata.sets.labels import Labels
from vpdata.sets.plan import SetPlan, make_plan
from vpdata.shards.dataset import Dataset


def merge(datasets: Sequence[Dataset], *, keep_first: bool = False, shard_frames: int | None = None) -> SetPlan:
    """All clips of several data sets, one data set after the other.

    Args:
        datasets: two or more.
        keep_first: of a recording that is in several, keep the clips of the first data set that has it.
        shard_frames: see `make_plan`.

    Raises:
        SetError: a recording is in several data sets and `keep_first` is False; see also `make_plan`.
    """
    first_with: dict[str, int] = {}
    rows = []
    for number, dataset in enumerate(datasets):
        digests = dataset.index.codes("content_digest")
        new = [first_with.setdefault(digest, number) == number for digest in digests.values]
        chosen = np.flatnonzero(np.array(new, np.bool_)[digests.codes])
        if len(chosen) < len(dataset.index) and not keep_first:
            _refuse_duplicates(datasets, number, first_with)
        rows.append(chosen)
    inputs = np.repeat(np.arange(len(datasets)), [len(chosen) for chosen in rows])
    return make_plan(
        "merge", {"keep_first": keep_first}, datasets, inputs, np.concatenate(rows), shard_frames=shard_frames
    )


def keep(dataset: Dataset, query: str, *, shard_frames: int | None = None) -> SetPlan:
    """The clips for which a condition holds, in their order; see `vpdata.mixture.query`.

    Where an episode has other clips as well, the new manifest lists those as dropped.

    Raises:
        MixtureError: the condition is wrong or holds for no clip.
        SetError: see `make_plan`.
    """
    reason = f"left out by the filter {query!r}."
    return _subset(dataset, _matching(dataset, query), "filter", {"query": query}, reason, shard_frames)


def keep_side(dataset: Dataset, split: Split, *, held_out: bool, shard_frames: int | None = None) -> SetPlan:
    """The episodes on one side of a split.

    Raises:
        SetError: there are none on that side; see also `make_plan`.
    """
    arguments = {"by": split.by, "share": str(split.share), "seed": split.seed, "held_out": held_out}
    kept = split.held_out(dataset.index) == held_out
    return _subset(dataset, kept, "filter", {"split": arguments}, "", shard_frames)


def subset(dataset: Dataset, *, num_episodes: int, seed: int = 0, shard_frames: int | None = None) -> SetPlan:
    """Some whole episodes, chosen at random by what they hold: more of them include fewer, wherever they lie.

    Args:
        dataset: the data set.
        num_episodes: at least 1.
        seed: of the choice.
        shard_frames: see `make_plan`.

    Raises:
        SetError: the data set has fewer episodes; see also `make_plan`.
    """
    digests = dataset.index.codes("content_digest")
    if len(digests.values) < num_episodes:
        what = f"there are {len(digests.values)} episodes, not {num_episodes}."
        raise SetError(what, path=dataset.place, hint="Ask for fewer.")
    order = sorted(range(len(digests.values)), key=lambda code: keyed_integer(seed, "subset", digests.values[code]))
    kept = np.isin(digests.codes, order[:num_episodes])
    arguments = {"num_episodes": num_episodes, "seed": seed}
    return _subset(dataset, kept, "subset", arguments, "", shard_frames)


def delete(
    dataset: Dataset,
    *,
    episodes: Sequence[str] = (),
    tasks: Sequence[str] = (),
    query: str = "",
    shard_frames: int | None = None,
) -> SetPlan:
    """What is left without some episodes (`file::episode`), tasks, and clips for which a condition holds.

    Raises:
        MixtureError: the condition is wrong or holds for no clip.
        SetError: an episode or task is not there, there is nothing to delete, or nothing would be left; see also
            `make_plan`.
    """
    if not (episodes or tasks or query):
        raise SetError("there is nothing to delete.", hint="Name episodes or tasks, or give a condition.")
    index = dataset.index
    gone, missing = clips_of(index, episodes)
    if missing:
        what = "there is no such episode."
        hint = "Write FILE::EPISODE as `vpdata mix --show` and the index name them."
        raise SetError(what, path=dataset.place, episode=missing[0], hint=hint)
    named = index.codes("task")
    for task in tasks:
        if not task or task not in named.values:
            known = ", ".join(value for value in named.values if value)
            raise SetError(f"there is no task {task!r}.", path=dataset.place, hint=f"Tasks: {known or 'none'}.")
        gone = gone | (named.codes == named.values.index(task))
    if query:
        gone = gone | _matching(dataset, query)
    arguments = {"episodes": list(episodes), "tasks": list(tasks), "query": query}
    return _subset(dataset, ~gone, "delete", arguments, f"deleted by {query!r}.", shard_frames)


def relabel(dataset: Dataset, labels: Labels, *, query: str = "", shard_frames: int | None = None) -> SetPlan:
    """All clips, with new labels where a condition holds (everywhere without one).

    Raises:
        MixtureError: the condition is wrong or holds for no clip.
        SetError: the condition holds for some clips of an episode and not for others, or a camera to rename is in none
            of the episodes; see also `make_plan`.
    """
    index = dataset.index
    chosen = _matching(dataset, query) if query else np.ones(len(index), np.bool_)
    digests = index.codes("content_digest").codes
    divided = np.flatnonzero(chosen & np.isin(digests, digests[~chosen]))
    if len(divided):
        episode = index.clip(int(divided[0])).episode
        what = f"the condition {query!r} holds for some clips of this episode and not for others."
        hint = "Choose whole episodes: labels are the episode's."
        raise SetError(what, path=episode.file, episode=episode.episode_id, hint=hint)
    cameras = {name for layout in index.frame()["cameras"][chosen].unique() for name in layout.split("+")}
    for name in labels.cameras:
        if name not in cameras:
            what = f"no episode has a camera {name!r}."
            raise SetError(what, path=dataset.place, hint=f"Cameras: {', '.join(sorted(cameras))}.")
    rows = np.arange(len(index))
    arguments = {"labels": labels.to_json(), "query": query}
    return make_plan(
        "relabel",
        arguments,
        [dataset],
        np.zeros_like(rows),
        rows,
        shard_frames=shard_frames,
        labels=labels,
        relabelled=chosen,
    )


def reshard(dataset: Dataset, *, shard_frames: int | None = None, shuffle: int | None = None) -> SetPlan:
    """The same clips in shards of another size, or in another order.

    Args:
        dataset: the data set.
        shard_frames: see `make_plan`.
        shuffle: None for the order as it is; else the seed of one that follows from the clips' keys alone.

    Raises:
        SetError: see `make_plan`.
    """
    rows = np.arange(len(dataset.index))
    if shuffle is not None:
        keys = dataset.index.codes("key")
        ranks = [keyed_integer(shuffle, "shuffle", key) for key in keys.values]
        rows = np.array(sorted(range(len(rows)), key=lambda row: ranks[int(keys.codes[row])]), np.int64)
    return make_plan("reshard", {"shuffle": shuffle}, [dataset], np.zeros_like(rows), rows, shard_frames=shard_frames)


def _subset(
    dataset: Dataset,
    kept: NDArray[np.bool_],
    verb: str,
    arguments: Mapping[str, Any],
    reason: str,
    shard_frames: int | None,
) -> SetPlan:
    rows = np.flatnonzero(kept)
    return make_plan(verb, arguments, [dataset], np.zeros_like(rows), rows, shard_frames=shard_frames, reason=reason)


def _matching(dataset: Dataset, query: str) -> NDArray[np.bool_]:
    return matching(dataset.index, query, source=PurePosixPath(dataset.place).name, place=dataset.place)


def _refuse_duplicates(datasets: Sequence[Dataset], number: int, first_with: Mapping[str, int]) -> None:
    index = datasets[number].index
    digests = index.codes("content_digest")
    twice = [code for code, digest in enumerate(digests.values) if first_with[digest] < number]
    row = int(np.flatnonzero(digests.codes == twice[0])[0])
    episode = index.clip(row).episode
    first = datasets[first_with[episode.content_digest]].place
    more = f", as {len(twice) - 1} others are in an earlier data set" if len(twice) > 1 else ""
    what = f"the recording is in {first} already{more}."
    hint = "Keep the earlier ones with --keep-first."
    raise SetError(what, path=datasets[number].place, episode=f"{episode.file}::{episode.episode_id}", hint=hint)
