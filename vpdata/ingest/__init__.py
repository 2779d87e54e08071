"""Recordings in, a data set folder out: the only module that knows both sources and shards.

An ingest plans first, then encodes each shard in a worker process into `OUT/.ingest/`, and at last moves everything to
its final name, the manifest last. It may be killed at any moment: the next run with the same arguments keeps every
shard that was finished, and ends with the same bytes.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpdata import __version__
from vpdata.clips.encode import num_actions_in
from vpdata.errors import ShardError, VpdataError
from vpdata.ingest.parts import parts_of
from vpdata.ingest.plan import (
    IngestOptions,
    OnError,
    Plan,
    PlannedShard,
    as_skipped,
    make_plan,
    nothing_left,
)
from vpdata.ingest.pool import run
from vpdata.ingest.worker import Failure, Task, bytes_key
from vpdata.schema import Clip
from vpdata.shards.arrays import merged
from vpdata.shards.files import full_disk_as_error
from vpdata.shards.index import to_parquet
from vpdata.shards.manifest import FORMAT_VERSION, INDEX_NAME, FileInfo, Manifest, ShardInfo, Skipped
from vpdata.shards.staging import STAGING, Journal, Staging, existing, existing_of, locked
from vpdata.stats import ArrayStatistics

__all__ = ["IngestOptions", "OnError", "Plan", "execute", "existing", "ingest", "make_plan", "up_to_date"]

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A finished shard as the manifest needs it; where its members lie stays in the journal on disk."""

    info: ShardInfo
    statistics: Mapping[str, ArrayStatistics]


def ingest(
    source_name: str,
    paths: Sequence[Path],
    out: Path,
    options: IngestOptions,
    *,
    on_error: OnError = "fail",
    workers: int | None = None,
    progress: Progress = lambda _: None,
) -> Manifest:
    """Turns recordings into a data set at OUT, or finds that it is there already.

    Args:
        source_name: of the source plugin, one of `vpdata.sources.NAMES`.
        paths: files and folders of recordings.
        out: the folder to make; it must be new, empty, an unfinished ingest, or this very data set.
        options: what to make of the recordings.
        on_error: `fail` stops at the first unusable episode; `skip` lists it in `Manifest.skipped`.
        workers: processes that encode; None for one a processor.
        progress: called with the number of camera frames encoded, or found encoded, since the last call.

    Raises:
        VpdataError: unusable recordings or options, an OUT that holds something else, a full disk, a killed worker.
            Nothing stands under a final name then; finished shards wait for the next run.
    """
    existing(out)
    plan = make_plan(source_name, paths, options, on_error=on_error)
    return execute(plan, out, workers=workers, progress=progress)


def up_to_date(plan: Plan, out: Path) -> Manifest | None:
    """The manifest at OUT if it is this plan's, None where there is none yet.

    Raises:
        ShardError: OUT holds something else, or this data set with files missing or cut off.
    """
    other = "the folder holds a data set made from other recordings or options."
    manifest = existing_of(out, plan_digest=plan.digest(), other=other, instead="ingest into a new folder")
    if manifest is None:
        return None
    if manifest.dropped:
        what = f"the data set was finished, but a repair has since dropped {len(manifest.dropped)} damaged clips."
        raise ShardError(what, path=out, hint="Ingest into a new folder to have them again.")
    if plan.on_error == "fail" and manifest.skipped:
        what = f"the data set is finished but left out {len(manifest.skipped)} recordings."
        raise ShardError(what, path=out, hint="Accept that with `--on-error skip`, or ingest into a new folder.")
    return manifest


def execute(plan: Plan, out: Path, *, workers: int | None = None, progress: Progress = lambda _: None) -> Manifest:
    """Carries a plan out; arguments, errors and effects as in `ingest`."""
    manifest = up_to_date(plan, out)
    if manifest is not None and not (out / STAGING).exists():
        return manifest
    with full_disk_as_error(out), locked(out) as staging:
        manifest = up_to_date(plan, out)
        if manifest is not None:
            return manifest
        staging.keep_only(_names(plan))
        try:
            with full_disk_as_error(out):
                return _encode_and_publish(plan, staging, workers=workers or os.cpu_count() or 1, progress=progress)
        except VpdataError as error:
            resume = "The same command goes on from what is finished." if staging.has_finished() else None
            hint = " ".join(part for part in (error.hint, resume) if part)
            raise type(error)(error.what, path=error.path, episode=error.episode, hint=hint or None) from error


def _encode_and_publish(plan: Plan, staging: Staging, *, workers: int, progress: Progress) -> Manifest:
    """Encodes until no episode fails; those that do are taken out of their shards, which are then made anew."""
    kept = plan
    skipped = list(plan.skipped)
    while True:
        finished, failures = _encode(kept, staging, workers=workers, progress=progress)
        if not failures:
            break
        skipped.extend(
            as_skipped(failure.error, failure.clip.file, episode=failure.clip.episode.episode_id)
            for failure in failures
        )
        kept = kept.without({failure.clip.episode.content_digest for failure in failures})
        if not kept.shards:
            raise nothing_left(skipped)
        staging.keep_only(_names(kept))
    index = to_parquet(_indexed(kept, staging))
    manifest = _manifest(plan, kept, finished, index, skipped)
    staging.publish([shard.name for shard in kept.shards], index=index, manifest=manifest.to_bytes())
    return manifest


def _encode(
    plan: Plan, staging: Staging, *, workers: int, progress: Progress
) -> tuple[dict[str, Finished], list[Failure]]:
    """The finished shards by name, and the episodes that failed, in the order of the plan."""
    finished: dict[str, Finished] = {}
    tasks: list[Task] = []
    for shard in plan.shards:
        journal = staging.finished(shard.name, key=bytes_key(shard.clips, plan.options))
        if journal is not None:
            finished[shard.name] = _finished(shard, journal)
        else:
            tasks.extend(_tasks(plan, shard, staging))
    missing = {task.part.name: task.part.camera_frames for task in tasks if not staging.has_journal(task.part.name)}
    progress(plan.camera_frames - sum(missing.values()))
    failures: dict[str, Failure] = {}
    for outcome in run(tasks, workers=workers, progress=progress):
        for failure in outcome.failures:
            failures.setdefault(failure.clip.episode.content_digest, failure)
    if not failures:
        for shard in plan.shards:
            if shard.name not in finished:
                finished[shard.name] = _finished(shard, staging.journal(shard.name))
    return finished, list(failures.values())


def _tasks(plan: Plan, shard: PlannedShard, staging: Staging) -> Iterator[Task]:
    """One for every part that is not finished; for the last one if all are, so that its worker joins them."""
    parts = parts_of(shard)
    missing = [part for part in parts if staging.finished(part.name, key=bytes_key(part.clips, plan.options)) is None]
    for part in missing or parts[-1:]:
        yield Task(
            source=plan.source,
            shard=shard,
            part=part,
            options=plan.options,
            out=staging.out,
            keep_going=plan.on_error == "skip",
        )


def _names(plan: Plan) -> set[str]:
    """Of all files that an ingest of this plan makes in the staging folder, shards and their parts."""
    return {name for shard in plan.shards for name in (shard.name, *(part.name for part in parts_of(shard)))}


def _finished(shard: PlannedShard, journal: Journal) -> Finished:
    num_frames = sum(clip.span.stop - clip.span.start for clip in shard.clips)
    info = ShardInfo(
        name=shard.name,
        size=journal.size,
        sha256=journal.sha256,
        num_clips=len(shard.clips),
        num_frames=num_frames,
    )
    return Finished(info=info, statistics=journal.statistics)


def _indexed(plan: Plan, staging: Staging) -> Iterator[Clip]:
    """The records of all clips in order, those of one shard at a time."""
    options = plan.options.clip
    for shard in plan.shards:
        for clip, members in zip(shard.clips, staging.journal(shard.name).members, strict=True):
            yield Clip(
                key=clip.key,
                shard=shard.name,
                episode=options.stored(clip.episode),
                span=clip.span,
                num_actions=num_actions_in(clip.episode, clip.span),
                codec=options.codec,
                members=members,
            )


def _options(plan: Plan) -> dict[str, Any]:
    """As the manifest holds them: with all that the curation decided."""
    curation = {} if plan.curation is None else {"curation": plan.curation.for_manifest()}
    return {**plan.options.to_json(), **curation}


def _manifest(
    plan: Plan, kept: Plan, finished: Mapping[str, Finished], index: bytes, skipped: Sequence[Skipped]
) -> Manifest:
    episodes = kept.episodes
    shards = [finished[shard.name] for shard in kept.shards]
    clips = [clip for shard in kept.shards for clip in shard.clips]
    return Manifest(
        format_version=FORMAT_VERSION,
        tool_version=__version__,
        source=plan.source,
        options=_options(plan),
        plan_digest=plan.digest(),
        shards=tuple(shard.info for shard in shards),
        index=FileInfo(name=INDEX_NAME, size=len(index), sha256=hashlib.sha256(index).hexdigest()),
        num_episodes=len(episodes),
        num_clips=len(clips),
        num_frames=sum(shard.info.num_frames for shard in shards),
        num_labelled_clips=sum(num_actions_in(clip.episode, clip.span) > 0 for clip in clips),
        duration_seconds=sum(episode.num_frames / episode.fps for episode in episodes),
        statistics=merged(shard.statistics for shard in shards),
        skipped=tuple(skipped),
    )
