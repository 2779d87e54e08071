"""A `SetPlan` in, a data set folder out: members are copied, checked on the way, and never decoded.

Shards are written into `OUT/.ingest/` by threads (checksums and copies let go of the interpreter), and move to their
final names at the end, the manifest last. It may be killed at any moment: the same operation keeps every shard that was
finished, and ends with the same bytes.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vpdata.clips.encode import PROVENANCE, provenance
from vpdata.schema import Clip, Member
from vpdata.sets.index import index_of
from vpdata.sets.labels import member_names
from vpdata.sets.plan import PlannedShard, SetPlan
from vpdata.shards.arrays import OwnedRows, merged
from vpdata.shards.files import full_disk_as_error
from vpdata.shards.index import Index, to_parquet
from vpdata.shards.manifest import FORMAT_VERSION, INDEX_NAME, FileInfo, Manifest, ShardInfo
from vpdata.shards.staging import STAGING, Journal, Staging, existing_of, locked
from vpdata.shards.tar import write_shard
from vpdata.shards.validate import counts_of
from vpdata.stats import ArrayStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    info: ShardInfo
    statistics: Mapping[str, ArrayStatistics]


def up_to_date(plan: SetPlan, out: Path) -> Manifest | None:
    """The manifest at OUT if it is this plan's, None where there is none yet.

    Raises:
        ShardError: OUT holds something else, or this data set with files missing or cut off.
    """
    return existing_of(out, plan_digest=plan.digest(), other="the folder holds another data set.")


def write(plan: SetPlan, out: Path, *, progress: Callable[[int], object] = lambda _: None) -> Manifest:
    """Carries a plan out, or finds that it was.

    Args:
        plan: of the data set.
        out: the folder to make; new, empty, what an interrupted run left, or this very data set.
        progress: called with the number of clips written, or found written, since the last call.

    Raises:
        ShardError: OUT holds something else, or an input is missing or damaged.
        VpdataError: the disk is full, or another command works at OUT.
    """
    manifest = up_to_date(plan, out)
    if manifest is not None and not (out / STAGING).exists():
        return manifest
    with full_disk_as_error(out), locked(out) as staging:
        manifest = up_to_date(plan, out)
        if manifest is not None:
            return manifest
        staging.keep_only({shard.name for shard in plan.shards})
        finished = _write_shards(plan, staging, progress)
        shards = (staging.journal(shard.name).members for shard in plan.shards)
        index = index_of(plan, shards) if plan.labels is None else to_parquet(_relabelled(plan, shards))
        manifest = _manifest(plan, finished, index)
        staging.publish([shard.name for shard in plan.shards], index=index, manifest=manifest.to_bytes())
    return manifest


def _write_shards(plan: SetPlan, staging: Staging, progress: Callable[[int], object]) -> list[_Finished]:
    digest = plan.digest()
    sha256s = [{info.name: info.sha256 for info in dataset.manifest.shards} for dataset in plan.datasets]

    def write_one(shard: PlannedShard) -> _Finished:
        key = hashlib.sha256(f"{digest} {shard.name} {np.__version__}".encode()).hexdigest()
        whole = _whole(plan, shard)
        sha256 = None if whole is None else sha256s[whole.dataset].get(whole.name)
        return _write_shard(plan, shard, staging, key=key, sha256=sha256)

    finished = []
    pool = ThreadPoolExecutor(2 * (os.cpu_count() or 1))  # some wait for the disk while others compute
    try:
        for shard, one in zip(plan.shards, pool.map(write_one, plan.shards), strict=True):
            finished.append(one)
            progress(shard.stop - shard.start)
    finally:
        pool.shutdown(cancel_futures=True)
    return finished


def _write_shard(plan: SetPlan, shard: PlannedShard, staging: Staging, *, key: str, sha256: str | None) -> _Finished:
    journal = staging.finished(shard.name, key=key)
    if journal is None:
        rows = OwnedRows()
        written = write_shard(staging.folder / shard.name, _contents(plan, shard, rows), sha256=sha256)
        journal = Journal(
            key=key, size=written.size, sha256=written.sha256, members=written.members, statistics=rows.statistics()
        )
        staging.record(shard.name, journal)
    info = ShardInfo(
        name=shard.name,
        size=journal.size,
        sha256=journal.sha256,
        num_clips=shard.stop - shard.start,
        num_frames=shard.num_frames,
    )
    return _Finished(info=info, statistics=journal.statistics)


class _Whole(NamedTuple):
    """A shard of an input: the input's number and its name there."""

    dataset: int
    name: str


def _whole(plan: SetPlan, shard: PlannedShard) -> _Whole | None:
    """The shard of an input that has just these clips, in their order, unchanged; its SHA-256 is then the new one's.

    Each member is checked against its CRC-32 as it is read, and what stands around them follows from the index. Damage
    that no CRC-32 shows does not fit that SHA-256 either, and stays damage.
    """
    number, first = int(plan.inputs[shard.start]), int(plan.rows[shard.start])
    dataset, num_clips = plan.datasets[number], shard.stop - shard.start
    inside = slice(shard.start, shard.stop)
    name = dataset.index.places(first).shard
    whole = dataset.index.rows_of(name) == range(first, first + num_clips)
    in_order = np.array_equal(plan.rows[inside], np.arange(first, first + num_clips))
    if not (whole and in_order and np.all(plan.inputs[inside] == number)):
        return None
    if plan.relabelled[inside].any() or dataset.manifest.tool_version != plan.tool_version:
        return None
    return _Whole(number, name)


def _contents(
    plan: SetPlan, shard: PlannedShard, rows: OwnedRows
) -> Iterator[tuple[str, Mapping[str, bytes | memoryview]]]:
    """The checked members of every clip, under the names and with the `json` that they shall have."""
    for i in range(shard.start, shard.stop):
        dataset, old = plan.datasets[int(plan.inputs[i])], plan.clip(i)
        new = _new(plan, i, old)
        names = member_names(old, None if new is old else plan.labels)
        members = dataset.read_clip(int(plan.rows[i]))
        contents: dict[str, bytes | memoryview] = {to: members[name] for name, to in names.items()}
        if new is not old or dataset.manifest.tool_version != plan.tool_version:
            contents[PROVENANCE] = provenance(new.episode, new.span, codec=new.codec, tool_version=plan.tool_version)
        if plan.statistics is None:
            rows.add(new.episode, new.span, contents)
        yield new.key, contents


def _new(plan: SetPlan, i: int, old: Clip) -> Clip:
    """The clip with its new labels; the same object where it has none."""
    if plan.labels is None or not plan.relabelled[i]:
        return old
    return replace(old, episode=plan.labels.of(old.episode))


def _relabelled(plan: SetPlan, shards: Iterable[Sequence[tuple[Member, ...]]]) -> Iterator[Clip]:
    for shard, clips in zip(plan.shards, shards, strict=True):
        for i, members in zip(range(shard.start, shard.stop), clips, strict=True):
            yield replace(_new(plan, i, plan.clip(i)), shard=shard.name, members=members)


def _manifest(plan: SetPlan, finished: list[_Finished], index: bytes) -> Manifest:
    manifests = [dataset.manifest for dataset in plan.datasets]
    counts = counts_of(Index(index))
    return Manifest(
        format_version=FORMAT_VERSION,
        tool_version=plan.tool_version,
        source="+".join(sorted({name for manifest in manifests for name in manifest.source.split("+")})),
        options={"shard_frames": plan.shard_frames},
        plan_digest=plan.digest(),
        shards=tuple(shard.info for shard in finished),
        index=FileInfo(name=INDEX_NAME, size=len(index), sha256=hashlib.sha256(index).hexdigest()),
        num_episodes=counts["num_episodes"],
        num_clips=counts["num_clips"],
        num_frames=counts["num_frames"],
        num_labelled_clips=counts["num_labelled_clips"],
        duration_seconds=_duration_seconds(Index(index)),
        statistics=merged(s.statistics for s in finished) if plan.statistics is None else plan.statistics,
        skipped=tuple(dict.fromkeys(skipped for manifest in manifests for skipped in manifest.skipped)),
        dropped=plan.dropped,
        operation=plan.operation,
    )


def _duration_seconds(index: Index) -> float:
    """Of the window starts of each episode, added up episode by episode as an ingest does."""
    codes = index.codes("content_digest").codes
    _, firsts, number = np.unique(codes, return_index=True, return_inverse=True)
    starts = np.bincount(number, weights=index.numbers("num_starts"))
    seconds = starts / index.fps()[firsts]
    return float(sum(seconds[np.argsort(firsts)].tolist()))
