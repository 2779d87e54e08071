"""The `.ingest` folder inside OUT: who works on it, which shards are finished, and how they reach their final names.

Whatever makes a data set shard by shard works through it: an ingest, or an operation on sets.
"""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from vpdata.errors import ShardError, VpdataError
from vpdata.schema import Member
from vpdata.shards.files import PARTIAL, locked_file, sha256_of, sync, write_whole
from vpdata.shards.manifest import INDEX_NAME, MANIFEST_NAME, Manifest, read_manifest
from vpdata.stats import ArrayStatistics

STAGING = ".ingest"
LOCK = "lock"
WORKERS = "workers"
JOINING = ".joining"
ORPHAN_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """A finished shard: what it was made from (`key`), the file, its clips' members, and its rows' statistics."""

    key: str
    size: int
    sha256: str
    members: tuple[tuple[Member, ...], ...]
    statistics: Mapping[str, ArrayStatistics]

    def to_bytes(self) -> bytes:
        """As JSON."""
        members = [  # `asdict` takes ten times as long
            [{"name": m.name, "offset": m.offset, "size": m.size, "crc32": m.crc32} for m in clip]
            for clip in self.members
        ]
        statistics = {space: asdict(found) for space, found in self.statistics.items()}
        value = {"key": self.key, "size": self.size, "sha256": self.sha256, "members": members}
        return json.dumps({**value, "statistics": statistics}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`."""
        value = json.loads(data)
        return cls(
            key=value["key"],
            size=value["size"],
            sha256=value["sha256"],
            members=tuple(tuple(Member(**member) for member in members) for members in value["members"]),
            statistics={space: ArrayStatistics.from_json(stats) for space, stats in value["statistics"].items()},
        )


class Staging:
    """Finished shards wait here, each with a journal beside it. Every file appears whole or not at all."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out / STAGING

    def finished(self, name: str, *, key: str) -> Journal | None:
        """The journal of a shard that needs no more work. What is left of any other shard of that name is removed."""
        journal_path = self._journal_path(name)
        places = [place for place in (self.folder / name, self.out / name) if place.exists()]
        if journal_path.exists() and len(places) == 1:
            try:
                journal = self.journal(name)
            except ValueError:  # the machine went down before all of it was on the disk
                journal = None
            if journal is not None and journal.key == key and _is_whole(places[0], journal):
                return journal
        for path in (journal_path, *places):
            path.unlink(missing_ok=True)
        return None

    def journal(self, name: str) -> Journal:
        """What was recorded of a finished shard."""
        return Journal.from_bytes(self._journal_path(name).read_bytes())

    def has_journal(self, name: str) -> bool:
        """Whether the file of that name was finished."""
        return self._journal_path(name).exists()

    def record(self, name: str, journal: Journal) -> None:
        """Notes that the shard in the staging folder is finished.

        Nothing waits for the disk: `finished` finds out what a machine that went down lost.
        """
        path = self._journal_path(name)
        partial = path.with_name(path.name + PARTIAL)
        partial.write_bytes(journal.to_bytes())
        partial.rename(path)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Held by a worker while it writes here; a later ingest waits until the workers of a killed one are gone."""
        with (self.folder / WORKERS).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    @contextmanager
    def joining(self, name: str) -> Iterator[None]:
        """Held by the one worker that joins the parts of this shard, or sees that some are missing."""
        with (self.folder / f"{name}{JOINING}").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def wait_for_orphans(self) -> None:
        """Returns once no worker of an ingest that was killed writes here.

        Raises:
            VpdataError: one still does; it should have ended with its parent.
        """
        with (self.folder / WORKERS).open("w") as file:
            deadline = time.monotonic() + ORPHAN_SECONDS
            while True:
                try:
                    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        what = "workers of an ingest that was killed are still writing to this folder."
                        raise VpdataError(what, path=self.out, hint="End them and run it again.") from None
                    time.sleep(0.01)

    def has_finished(self) -> bool:
        """Whether anything here has a journal."""
        return any(self.folder.glob("*.json"))

    def remove(self, name: str) -> None:
        """Removes a file and its journal, the journal first."""
        self._journal_path(name).unlink(missing_ok=True)
        (self.folder / name).unlink(missing_ok=True)

    def keep_only(self, names: set[str]) -> None:
        """Removes partial files, and shards that are none of these."""
        kept = {LOCK, WORKERS, *names, *(self._journal_path(name).name for name in names)}
        for path in self.folder.iterdir():
            if path.name not in kept:
                path.unlink()
        for path in self.out.iterdir():
            if _is_ours(path.name) and path.name not in {STAGING, *names}:
                path.unlink()

    def publish(self, names: list[str], *, index: bytes, manifest: bytes) -> None:
        """Moves the shards, then the index, and last the manifest to their final names."""
        write_whole(self.folder / INDEX_NAME, index)
        write_whole(self.folder / MANIFEST_NAME, manifest)
        for name in (*names, INDEX_NAME):
            if (self.folder / name).exists():
                (self.folder / name).rename(self.out / name)
        sync(self.out)
        (self.folder / MANIFEST_NAME).rename(self.out / MANIFEST_NAME)
        sync(self.out)

    def _journal_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _is_whole(path: Path, journal: Journal) -> bool:
    return path.stat().st_size == journal.size and sha256_of(path) == journal.sha256


def existing(out: Path) -> Manifest | None:
    """The manifest of a finished data set at OUT; None where an ingest may begin or go on.

    Raises:
        ShardError: OUT is a file, holds something else, or a data set of another format version.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        raise ShardError("is a file.", path=out, hint="Choose a new folder with --out.")
    if (out / MANIFEST_NAME).exists():
        return read_manifest(out)[0]
    ours = (out / STAGING).is_dir()
    foreign = sorted(entry.name for entry in out.iterdir() if not (ours and _is_ours(entry.name)))
    if foreign:
        shown = ", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else "")
        what = f"the folder holds other files ({shown})."
        raise ShardError(what, path=out, hint="Choose a new or empty folder with --out.")
    return None


def existing_of(
    out: Path, *, plan_digest: str, other: str, instead: str = "choose a new folder with --out"
) -> Manifest | None:
    """The manifest at OUT if it is of that plan, None where there is none yet.

    Args:
        out: the folder.
        plan_digest: of the plan.
        other: says that OUT is of another plan.
        instead: of mending a damaged OUT.

    Raises:
        ShardError: OUT holds something else, or this data set with files missing or cut off.
    """
    manifest = existing(out)
    if manifest is None:
        return None
    if manifest.plan_digest != plan_digest:
        raise ShardError(other, path=out, hint="Choose a new folder with --out.")
    for name, size in manifest.sizes.items():
        path = out / name
        if not path.is_file() or path.stat().st_size != size:
            hint = f"Run `vpdata validate {out}`, or {instead}."
            raise ShardError("is missing or cut off, though the data set is finished.", path=path, hint=hint)
    return manifest


def _is_ours(name: str) -> bool:
    return name in (STAGING, INDEX_NAME) or (name.startswith("shard-") and name.endswith(".tar"))


@contextmanager
def locked(out: Path) -> Iterator[Staging]:
    """The staging folder of OUT, both made as needed, for this process alone.

    On the way out the staging folder goes when OUT is finished or nothing in it is; so does an OUT that was made here
    and stayed empty.

    Raises:
        VpdataError: another command works there. The lock of a dead process does not count.
    """
    made = not out.exists()
    staging = Staging(out)
    staging.folder.mkdir(parents=True, exist_ok=True)
    hint = "Wait for it, or choose another folder with --out."
    busy = VpdataError("another command is writing to this folder.", path=out, hint=hint)
    with locked_file(staging.folder / LOCK, busy=busy):
        staging.wait_for_orphans()
        try:
            yield staging
        finally:
            if (out / MANIFEST_NAME).exists() or not staging.has_finished():
                shutil.rmtree(staging.folder)
            if made and not any(out.iterdir()):
                out.rmdir()
