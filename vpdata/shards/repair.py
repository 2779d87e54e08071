"""A damaged data set in; what is lost of it, and a whole data set of all that is not, out.

`examine` reads and writes nothing; `repair` carries out what it found. Shards in which nothing is wrong stay as they
are. Any other is written anew from its sound clips: where that gives the bytes that the manifest names, it keeps its
name, and otherwise it gets one with its digest in it, as the index does, so that no name ever stands for two contents.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vpdata.errors import ShardError
from vpdata.schema import Clip, Member
from vpdata.shards.arrays import merged
from vpdata.shards.check import Problem, ShardCheck, read_clip
from vpdata.shards.files import full_disk_as_error, write_whole
from vpdata.shards.index import Index, to_parquet
from vpdata.shards.manifest import MANIFEST_NAME, Dropped, FileInfo, Manifest, ShardInfo
from vpdata.shards.replacement import FOLDER, Replacement, replacing
from vpdata.shards.salvage import Salvaged, salvage
from vpdata.shards.tar import write_shard
from vpdata.shards.tiling import gaps
from vpdata.shards.validate import counts_of, disagreements, inspect, spans_of, stray_files

GONE = "nothing of the clip was found."


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is wrong with a data set, and what a repair will do.

    Attributes:
        path: the data set folder.
        salvaged: its manifest and index, made again where they are gone.
        checks: what was found in each shard of the manifest, in order.
        problems: everything that is wrong.
        dropped: the clips that cannot be kept.
        strays: files that are not part of the data set; a repair leaves them alone.
    """

    path: Path
    salvaged: Salvaged
    checks: tuple[ShardCheck, ...]
    problems: tuple[Problem, ...]
    dropped: tuple[Dropped, ...]
    strays: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing to repair."""
        return self.salvaged.has_manifest and self.salvaged.has_index and not self.problems

    @property
    def num_starts_lost(self) -> int:
        """Window starts of the dropped clips."""
        return sum(clip.num_starts for clip in self.dropped)

    @property
    def num_episodes_gone(self) -> int:
        """Episodes of which no clip was found, and of which nothing but their number is known."""
        if self.salvaged.has_index or not self.salvaged.has_manifest:
            return 0
        return self.salvaged.manifest.num_episodes - counts_of(self.salvaged.index)["num_episodes"]

    @property
    def unvouched(self) -> tuple[str, ...]:
        """Shards of which no checksum from before the damage says that their bytes are right."""
        if self.salvaged.has_index:
            return ()
        names = [shard.name for shard in self.salvaged.manifest.shards]
        if not self.salvaged.has_manifest:
            return tuple(names)
        damaged = {problem.file for problem in self.problems}
        return tuple(name for name in names if name in damaged)


def examine(
    path: Path, *, decode: bool = False, workers: int = 1, progress: Callable[[int], object] = lambda _: None
) -> Diagnosis:
    """Finds what is wrong with a data set and what can be kept; arguments as in `validate`. Writes nothing.

    Raises:
        ShardError: there is no data set, it is of another format version, or nothing is left of it.
    """
    salvaged = salvage(path)
    manifest, index = salvaged.manifest, salvaged.index
    problems, checks = inspect(path, manifest, index, decode=decode, workers=workers, progress=progress)
    dropped = [*_lost(index, checks), *_holes(index, manifest.dropped)]
    if len(index) == sum(len(check.lost) for check in checks):
        what = "nothing is left of this data set: every clip is damaged."
        raise ShardError(what, path=path, hint="Ingest the recordings again into a new folder.")
    return Diagnosis(
        path=path,
        salvaged=salvaged,
        checks=tuple(checks),
        problems=tuple(problems),
        dropped=tuple(dropped),
        strays=tuple(problem.file for problem in stray_files(path, manifest) if problem.file != FOLDER),
    )


def repair(diagnosis: Diagnosis, *, out: Path | None = None) -> Manifest:
    """Makes a whole data set of what can be kept, in place or at `out`, where shards that stay the same are hard links.

    It may be killed at any moment. In place, the old files are there until the new manifest is; a repair that is run
    again goes on or begins anew, and ends with the same bytes.

    Raises:
        ShardError: the data set has changed since it was examined, `out` holds something else, or the index contradicts
            itself in a way that dropping clips does not heal.
        VpdataError: the disk is full, or another repair is at work there.
    """
    target = diagnosis.path if out is None else out
    if out is not None:
        _refuse_foreign(out)
    with full_disk_as_error(target), replacing(target) as replacement:
        pairs = zip(diagnosis.salvaged.manifest.shards, diagnosis.checks, strict=True)
        built = [_build(diagnosis, info, check, replacement) for info, check in pairs]
        shards = [shard for shard in built if shard is not None]
        index = _index(diagnosis, shards)
        manifest = _manifest(diagnosis, shards, index)
        contradictions = list(disagreements(manifest, Index(index)))
        if contradictions:
            what = f"the index contradicts itself and cannot be repaired: {contradictions[0].what}"
            raise ShardError(what, path=diagnosis.path, hint="Ingest the recordings again into a new folder.")
        _refuse_change(diagnosis, out, manifest)
        write_whole(replacement.folder / manifest.index.name, index)
        new, old = manifest.sizes.keys(), diagnosis.salvaged.manifest.sizes.keys()
        made = [name for name in sorted(new) if (replacement.folder / name).exists()]
        removed = sorted(old - new) if out is None else []
        replacement.publish(add=made, remove=removed, manifest=manifest.to_bytes())
    return manifest


def _lost(index: Index, checks: Sequence[ShardCheck]) -> Iterator[Dropped]:
    for check in checks:
        rows = index.rows_of(check.name)
        for place, reason in sorted(check.lost.items()):
            yield Dropped.of(index.clip(rows[place]), reason=reason)


def _holes(index: Index, dropped: Sequence[Dropped]) -> Iterator[Dropped]:
    """Window starts that neither a clip owns nor a dropped one: those of clips that a rebuilt index does not know."""
    present = set(index.codes("content_digest").values)
    known = [clip for clip in dropped if clip.content_digest in present]
    for gap in gaps(spans_of(index, known)):
        if gap.stop < gap.start:
            continue  # two clips own them: `repair` refuses
        if gap.row < len(index):
            episode = index.clip(gap.row).episode
            file, episode_id, digest = episode.file, episode.episode_id, episode.content_digest
        else:
            other = known[gap.row - len(index)]
            file, episode_id, digest = other.file, other.episode, other.content_digest
        yield Dropped(
            key="",
            file=file,
            episode=episode_id,
            content_digest=digest,
            start_frame=gap.start,
            num_starts=gap.stop - gap.start,
            reason=GONE,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    """A shard of the repaired data set: the rows of the old index that it holds, and where their members now lie."""

    info: ShardInfo
    rows: tuple[int, ...]
    members: tuple[tuple[Member, ...], ...] | None
    """None where they lie where they did."""


def _build(diagnosis: Diagnosis, info: ShardInfo, check: ShardCheck, replacement: Replacement) -> _Built | None:
    """Puts a shard into the replacement unless it stays where it is; None where no clip of it can be kept."""
    index = diagnosis.salvaged.index
    rows = tuple(row for place, row in enumerate(index.rows_of(check.name)) if place not in check.lost)
    if not rows:
        return None
    if not check.problems:
        if replacement.target != diagnosis.path:
            replacement.take(diagnosis.path / check.name)
        return _Built(info=info, rows=rows, members=None)
    written = write_shard(replacement.folder / check.name, _contents(diagnosis.path / check.name, index, rows))
    name = _name(check.name, info.sha256, written.sha256)
    (replacement.folder / check.name).rename(replacement.folder / name)
    num_frames = sum(index.clip(row).num_frames for row in rows)
    new = ShardInfo(name=name, size=written.size, sha256=written.sha256, num_clips=len(rows), num_frames=num_frames)
    return _Built(info=new, rows=rows, members=written.members)


def _contents(path: Path, index: Index, rows: Sequence[int]) -> Iterator[tuple[str, dict[str, bytes]]]:
    with path.open("rb") as file:
        for row in rows:
            clip = index.clip(row)
            contents, reasons = read_clip(file, clip)
            if reasons:
                what = f"{reasons[0]} It was sound when it was examined."
                raise ShardError(what, path=path, episode=clip.key, hint="Run it again; the disk may be failing.")
            yield clip.key, contents


def _name(name: str, old_sha256: str, new_sha256: str) -> str:
    """The name of a file that was made anew: its own where the bytes are the same."""
    if new_sha256 == old_sha256:
        return name
    stem, suffix = re.sub(r"-r[0-9a-f]{8}(?=\.)", "", name).split(".")
    return f"{stem}-r{new_sha256[:8]}.{suffix}"


def _index(diagnosis: Diagnosis, shards: Sequence[_Built]) -> bytes:
    """The bytes of the new index; those of the old one where every clip is where it was."""
    old, names = diagnosis.salvaged, {shard.name for shard in diagnosis.salvaged.manifest.shards}
    same = sum(len(shard.rows) for shard in shards) == len(old.index) and all(s.info.name in names for s in shards)
    if same and old.has_index:
        return (diagnosis.path / old.manifest.index.name).read_bytes()
    return to_parquet(_clips(old.index, shards))


def _clips(index: Index, shards: Sequence[_Built]) -> Iterator[Clip]:
    for shard in shards:
        for place, row in enumerate(shard.rows):
            clip = index.clip(row)
            members = clip.members if shard.members is None else shard.members[place]
            yield replace(clip, shard=shard.info.name, members=members)


def _manifest(diagnosis: Diagnosis, shards: Sequence[_Built], index: bytes) -> Manifest:
    old = diagnosis.salvaged.manifest
    digest = hashlib.sha256(index).hexdigest()
    columns = Index(index)
    counts = counts_of(columns)
    duration = old.duration_seconds
    if diagnosis.dropped or not diagnosis.salvaged.has_manifest:
        duration = float(np.sum(columns.numbers("num_starts") / columns.fps()))
    return replace(
        old,
        shards=tuple(shard.info for shard in shards),
        index=FileInfo(name=_name(old.index.name, old.index.sha256, digest), size=len(index), sha256=digest),
        duration_seconds=duration,
        statistics=merged(check.statistics for check in diagnosis.checks),
        dropped=(*old.dropped, *diagnosis.dropped),
        num_episodes=counts["num_episodes"],
        num_clips=counts["num_clips"],
        num_frames=counts["num_frames"],
        num_labelled_clips=counts["num_labelled_clips"],
    )


def _refuse_foreign(out: Path) -> None:
    """Raises ShardError unless `out` is new, empty, a repair that was killed, or a data set."""
    if not out.exists():
        return
    names = {entry.name for entry in out.iterdir()} if out.is_dir() else {out.name}
    if names and not names & {FOLDER, MANIFEST_NAME}:
        raise ShardError("holds other files.", path=out, hint="Choose a new or empty folder with --out.")


def _refuse_change(diagnosis: Diagnosis, out: Path | None, manifest: Manifest) -> None:
    """Raises ShardError where the manifest that is to be replaced is another than expected."""
    if out is None:
        if _digest_of(diagnosis.path / MANIFEST_NAME) != diagnosis.salvaged.manifest_digest:
            what = "the data set has changed since it was examined."
            raise ShardError(what, path=diagnosis.path, hint="Run it again.")
    elif _digest_of(out / MANIFEST_NAME) not in ("", hashlib.sha256(manifest.to_bytes()).hexdigest()):
        raise ShardError("holds another data set.", path=out, hint="Choose a new folder with --out.")


def _digest_of(path: Path) -> str:
    """Hex SHA-256 of a file, "" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
