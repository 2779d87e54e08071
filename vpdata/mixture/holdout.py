"""An index enters; the episodes to keep out of training leave, chosen by what they hold, not by where they stand."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vpdata.mixture.hashing import keyed_integer
from vpdata.schema import Episode
from vpdata.shards.index import Index

_SEPARATOR = "::"


def episode_key(episode: Episode) -> str:
    """How a mixture names an episode of a data set: `file::episode_id`."""
    return f"{episode.file}{_SEPARATOR}{episode.episode_id}"


def episode_numbers(index: Index) -> NDArray[np.int64]:
    """(N,) int64: clips have the same number where they are of the same episode."""
    files, ids = index.codes("file"), index.codes("episode_id")
    return files.codes.astype(np.int64) * len(ids.values) + ids.codes


def clips_of(index: Index, keys: Sequence[str]) -> tuple[NDArray[np.bool_], list[str]]:
    """(N,) bool, whether a clip is of one of these episodes; and the keys of episodes that are not there."""
    numbers = episode_numbers(index)
    if not keys:
        return np.zeros(len(index), dtype=np.bool_), []
    files = {value: i for i, value in enumerate(index.codes("file").values)}
    ids = {value: i for i, value in enumerate(index.codes("episode_id").values)}
    of_key: dict[str, list[int]] = {}
    for key in keys:
        parts = key.split(_SEPARATOR)  # a file's name may hold the separator, and so may an episode's
        cuts = ((_SEPARATOR.join(parts[:i]), _SEPARATOR.join(parts[i:])) for i in range(1, len(parts)))
        of_key[key] = [files[file] * len(ids) + ids[name] for file, name in cuts if file in files and name in ids]
    wanted = np.array([number for found in of_key.values() for number in found], dtype=np.int64)
    there = set(wanted[np.isin(wanted, numbers)].tolist())
    return np.isin(numbers, wanted), [key for key, found in of_key.items() if there.isdisjoint(found)]


def episodes_of(index: Index, clips: NDArray[np.bool_]) -> tuple[str, ...]:
    """The keys of the episodes of these clips, (N,) bool, in the order of the data set."""
    rows = np.flatnonzero(clips)
    _, firsts = np.unique(episode_numbers(index)[rows], return_index=True)
    columns = ((text, text.codes[rows[np.sort(firsts)]]) for text in map(index.codes, ("file", "episode_id")))
    files, names = ([text.values[code] for code in codes.tolist()] for text, codes in columns)
    return tuple(f"{file}{_SEPARATOR}{name}" for file, name in zip(files, names, strict=True))


def hold_out(index: Index, share: Fraction, *, seed: int, kept: NDArray[np.bool_] | None = None) -> tuple[str, ...]:
    """Chooses round(share * n) of the n episodes of every task, by the hash of their content and the seed.

    Where that is none of two or more episodes it is one, and at least one episode of a task is always left to train on.

    Args:
        index: whose episodes to choose from.
        share: in [0, 1); 0 holds out nothing.
        seed: another seed chooses others.
        kept: (N,) bool, the clips that are there to choose from; None: all.

    Returns:
        Episode keys, in the order of the data set.
    """
    if not 0 <= share < 1:
        raise ValueError(f"held-out share {share} is not in [0, 1)")
    if not share:
        return ()
    rows = np.arange(len(index)) if kept is None else np.flatnonzero(kept)
    _, firsts = np.unique(episode_numbers(index)[rows], return_index=True)
    rows = rows[np.sort(firsts)]  # the first clip of every episode
    texts = (index.codes(name) for name in ("file", "episode_id", "content_digest", "task"))
    columns = [[text.values[code] for code in text.codes[rows].tolist()] for text in texts]
    by_task: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    keys = []
    for file, name, digest, task in zip(*columns, strict=True):
        keys.append(f"{file}{_SEPARATOR}{name}")
        by_task[task].append((keyed_integer(seed, digest, keys[-1]), keys[-1]))
    chosen: set[str] = set()
    for ranked in by_task.values():
        count = min(max(round(share * len(ranked)), 1), len(ranked) - 1)
        chosen.update(key for _, key in sorted(ranked)[:count])
    return tuple(key for key in keys if key in chosen)
