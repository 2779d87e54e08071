"""What a repository shall hold and what it holds in; the commits that lead from one to the other out.

At no commit is half of a data set to be seen. Files that the manifest at the head does not name may be added in any
number of commits: nobody reads them. Everything that a reader of that manifest would stumble over (its shards, its
index) changes in one last commit, together with the manifest, the card, and what goes. Where that commit would be too
large for the Hub, the manifest is taken out first: the branch has no data set then, and not half of one, until then.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vpdata.hub.api import File, HubFile
from vpdata.shards.manifest import MANIFEST_NAME

COMMIT_FILES = 100
"""Files that are added in one commit; the Hub recommends no more."""
SWAP_FILES = 1000
"""Files that may change in the last commit."""
CARD_NAME = "README.md"
CARD_FOLDER = "card/"
_OURS = re.compile(r"shard-[^/]*\.tar|index[^/]*\.parquet|manifest\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One commit: paths to add or replace, and paths to remove; `is_last` for the one that shows the data set."""

    add: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    is_last: bool = False


def steps(wanted: Mapping[str, File], there: Mapping[str, HubFile], *, visible: Collection[str]) -> tuple[Step, ...]:
    """The commits to make; none where the repository holds what it shall.

    Args:
        wanted: files by path.
        there: files at the head by path. Those that no publishing makes are left alone.
        visible: what the manifest at the head names; empty where there is none.
    """
    changed = changed_paths(wanted, there)
    gone = [path for path in sorted(there) if _OURS.fullmatch(path) and path not in wanted]
    shards = [path for path in changed if path.endswith(".tar") and path not in visible]
    hidden = frozenset(shards)
    swapped = tuple(path for path in changed if path not in hidden)
    removed = tuple(path for path in gone if path in visible or path == MANIFEST_NAME)
    if MANIFEST_NAME in there and len(swapped) + len(removed) > SWAP_FILES:
        without = {path: file for path, file in there.items() if path != MANIFEST_NAME}
        return (Step(delete=(MANIFEST_NAME,)), *steps(wanted, without, visible=()))
    stale = [path for path in gone if path not in removed]
    last = (Step(add=swapped, delete=removed, is_last=True),) if swapped or removed else ()
    return (*(Step(add=some) for some in _batches(shards)), *(Step(delete=some) for some in _batches(stale)), *last)


def changed_paths(wanted: Mapping[str, File], there: Mapping[str, HubFile]) -> tuple[str, ...]:
    """Of the files wanted, by path, those that are not there or are others there."""
    return tuple(path for path, file in wanted.items() if path not in there or not there[path].is_(file))


def _batches(paths: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(paths), COMMIT_FILES):
        yield tuple(paths[first : first + COMMIT_FILES])
