"""A data set folder in, everything that is wrong with it out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vpdata.errors import ShardError
from vpdata.shards.arrays import merged
from vpdata.shards.check import Problem, ShardCheck, ShardTask, check_shards
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Index
from vpdata.shards.manifest import MANIFEST_NAME, ORIGIN_NAME, Dropped, Manifest, read_manifest
from vpdata.shards.tiling import Spans, gaps
from vpdata.stats import ArrayStatistics

TOLERANCE = 1e-9
"""By which statistics may differ from the manifest's: another NumPy may add in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked, and every problem found."""

    path: Path
    num_shards: int
    num_clips: int
    num_bytes: int
    problems: tuple[Problem, ...]


def validate(
    path: Path, *, decode: bool = False, workers: int = 1, progress: Callable[[int], object] = lambda _: None
) -> Report:
    """Checks a data set: digests, tar structure, every member's CRC-32, arrays, and that manifest and index agree.

    No more than a few shards' clips are in memory at a time.

    Args:
        path: the data set folder.
        decode: also decode every frame and compare their number and size with the index.
        workers: shards checked at once.
        progress: called with 1 after each shard.

    Raises:
        ShardError: there is no manifest to check against, or it is of another format version.
    """
    manifest, _ = read_manifest(path)
    problems = list(stray_files(path, manifest))
    index: Index | None = None
    try:
        index = Dataset.open(path).index
    except ShardError as error:
        what = f"{error.what} Only the shards' digests are checked."
        problems.append(Problem(file=manifest.index.name, key="", what=what))
    found, _ = inspect(path, manifest, index, decode=decode, workers=workers, progress=progress)
    return Report(
        path=path,
        num_shards=len(manifest.shards),
        num_clips=0 if index is None else len(index),
        num_bytes=sum(shard.size for shard in manifest.shards),
        problems=(*problems, *found),
    )


def inspect(
    path: Path,
    manifest: Manifest,
    index: Index | None,
    *,
    decode: bool,
    workers: int,
    progress: Callable[[int], object],
) -> tuple[list[Problem], list[ShardCheck]]:
    """Compares manifest, index and shards; arguments as in `validate`. Without an index, only the shards' digests."""
    problems = [] if index is None else list(disagreements(manifest, index))
    tasks = _tasks(path, manifest, index, decode=decode)
    checks = list(check_shards(tasks, workers=max(1, min(workers, len(manifest.shards))), progress=progress))
    problems.extend(problem for check in checks for problem in check.problems)
    if index is not None and not problems:
        problems.extend(_other_statistics(manifest, merged(check.statistics for check in checks)))
    return problems, checks


def _tasks(path: Path, manifest: Manifest, index: Index | None, *, decode: bool) -> Iterator[ShardTask]:
    """One task for each shard of the manifest, with its clips where there is an index; made when asked for."""
    num_dimensions = {space: len(statistics.mean) for space, statistics in manifest.statistics.items()}
    for shard in manifest.shards:
        yield ShardTask(
            path=path / shard.name,
            size=shard.size,
            sha256=shard.sha256,
            clips=() if index is None else tuple(map(index.clip, index.rows_of(shard.name))),
            num_dimensions=num_dimensions,
            tool_version=manifest.tool_version,
            decode=decode,
        )


def spans_of(index: Index, dropped: Sequence[Dropped] = ()) -> Spans:
    """The window starts of the clips in the order of the index, then those of dropped clips of the same episodes."""
    codes = index.codes("content_digest")
    code_of = {digest: code for code, digest in enumerate(codes.values)}
    num_frames = np.zeros(len(codes.values), np.int64)
    num_frames[codes.codes] = index.numbers("episode_num_frames")
    episode = np.concatenate([codes.codes, np.array([code_of[d.content_digest] for d in dropped], np.int64)])
    start = np.concatenate([index.numbers("start_frame"), np.array([d.start_frame for d in dropped], np.int64)])
    num_starts = np.concatenate([index.numbers("num_starts"), np.array([d.num_starts for d in dropped], np.int64)])
    return Spans(episode=episode, start=start, stop=start + num_starts, num_frames=num_frames[episode])


def counts_of(index: Index) -> dict[str, int]:
    """The counts that the manifest repeats, by their names there."""
    return {
        "num_episodes": len(index.codes("content_digest").values),
        "num_clips": len(index),
        "num_frames": int(np.sum(index.numbers("stop_frame") - index.numbers("start_frame"))),
        "num_labelled_clips": int(np.sum(index.numbers("num_actions") > 0)),
    }


def stray_files(path: Path, manifest: Manifest) -> Iterator[Problem]:
    """Files in the folder that the manifest does not name."""
    known = {MANIFEST_NAME, ORIGIN_NAME, *manifest.sizes}
    for entry in sorted(path.iterdir()):
        if entry.name not in known:
            yield Problem(file=entry.name, key="", what="is not part of this data set.")


def disagreements(manifest: Manifest, index: Index) -> Iterator[Problem]:
    """What manifest and index say differently, and what is wrong within the index. Touches no shard."""
    in_index = partial(Problem, file=manifest.index.name)
    in_manifest = partial(Problem, file=MANIFEST_NAME, key="")
    keys = index.codes("key")
    for code in np.flatnonzero(np.bincount(keys.codes) > 1):
        yield in_index(key=keys.values[code], what=f"occurs {np.sum(keys.codes == code)} times.")
    named = set(index.codes("shard").values)
    for shard in sorted(named - {shard.name for shard in manifest.shards}):
        yield in_index(key="", what=f"names {shard}, which the manifest does not.")
    if sum(len(index.rows_of(shard)) for shard in named) != len(index):
        yield in_index(key="", what="the clips of a shard do not stand together.")
    num_frames = index.numbers("stop_frame") - index.numbers("start_frame")
    for info in manifest.shards:
        rows = index.rows_of(info.name)
        found = (len(rows), int(num_frames[rows.start : rows.stop].sum()))
        if found != (info.num_clips, info.num_frames):
            said = f"{info.num_clips} clips and {info.num_frames} frames"
            yield in_manifest(what=f"says {info.name} has {said}, the index {found[0]} and {found[1]}.")
    for name, count in counts_of(index).items():
        if getattr(manifest, name) != count:
            yield in_manifest(what=f"says {name} is {getattr(manifest, name)}, the index {count}.")
    spaces = {space for name in ("action_space", "state_space") for space in index.codes(name).values if space}
    if spaces != set(manifest.statistics):
        said = ", ".join(manifest.statistics) or "no space"
        yield in_manifest(what=f"has statistics of {said}, the index names {', '.join(sorted(spaces)) or 'none'}.")
    yield from _untiled(manifest, index)


def _untiled(manifest: Manifest, index: Index) -> Iterator[Problem]:
    """Window starts that lie in no clip or in several, unless the manifest says that a repair dropped their clip."""
    problem = partial(Problem, file=manifest.index.name)
    for row in np.flatnonzero(index.numbers("stop_frame") > index.numbers("episode_num_frames")):
        yield problem(key=index.clip(int(row)).key, what="ends after its episode.")
    present = set(index.codes("content_digest").values)
    dropped = [clip for clip in manifest.dropped if clip.content_digest in present]
    for gap in gaps(spans_of(index, dropped)):
        key = index.clip(gap.row).key if gap.row < len(index) else dropped[gap.row - len(index)].key
        if gap.at_end:
            yield problem(key=key, what=f"ends its episode with {gap.start} of {gap.stop} window starts.")
        else:
            yield problem(key=key, what=f"does not begin where the episode's last clip ends, at {gap.start}.")


def _other_statistics(manifest: Manifest, found: dict[str, ArrayStatistics]) -> Iterator[Problem]:
    for space, statistics in found.items():
        said = manifest.statistics[space]
        same = said.count == statistics.count and all(
            np.allclose(getattr(said, name), getattr(statistics, name), rtol=TOLERANCE, atol=TOLERANCE)
            for name in ("min", "max", "mean", "std")
        )
        if not same:
            yield Problem(file=MANIFEST_NAME, key="", what=f"its statistics of {space} are not those of the shards.")
