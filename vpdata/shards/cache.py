"""Bytes that were fetched and checked in, the same bytes from a bounded folder on this machine out.

The folder holds:

    blocks/SHARD-FIRST-STOP   bytes [FIRST, STOP) of the shard whose SHA-256 is SHARD
    files/SHA256              a manifest or an index, under its own SHA-256
    hashes/DIGEST-VERSION     the perceptual hashes of the data set with that digest
    usage                     how many bytes are here or about to come; whoever changes that holds its lock

Names follow from content alone: data sets, revisions, runs and processes share what is equal. An entry is written under
`.partial`, which its writer holds locked, and renamed when it is whole and on the disk. The locks are the kernel's
(`flock`) and go with the process that holds them, so that nobody waits for the dead; a `.partial` that nobody holds is
worthless and swept. The entries read longest ago leave first; who is reading one just then keeps the open file.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vpdata.errors import ShardError, VpdataError
from vpdata.shards.files import PARTIAL, publish

FOLDER_VARIABLE = "VPDATA_CACHE"
LIMIT_VARIABLE = "VPDATA_CACHE_LIMIT"
SHARE_OF_DISK = 10
"""Without a limit the cache takes the disk's size divided by this."""

_BLOCKS, _FILES, _HASHES, _USAGE = "blocks", "files", "hashes", "usage"
_TOUCH_SECONDS = 1.0  # the time of last use is this exact
_POLL_SECONDS = 0.05
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

_held: set[int] = set()  # descriptors of locks; a forked child closes its copies, or it would hold them too


def _close_inherited() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited)


def block_name(shard_sha256: str, start: int, stop: int) -> str:
    """The name of bytes [start, stop) of a shard."""
    return f"{_BLOCKS}/{shard_sha256}-{start}-{stop}"


def file_name(sha256: str) -> str:
    """The name of a whole file."""
    return f"{_FILES}/{sha256}"


def hashes_name(digest: str, *, version: int) -> str:
    """The name of the perceptual hashes of a data set."""
    return f"{_HASHES}/{digest}-{version}"


def parse_size(text: str) -> int:
    """Bytes of `250M`, `64G`, `1.5T` or a plain number; K, M, G and T are powers of 1000.

    Raises:
        VpdataError: the text is no size.
    """
    unit = _UNITS.get(text[-1:].upper(), 1)
    number = text if unit == 1 else text[:-1]
    try:
        size = int(float(number) * unit)
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise VpdataError(f"{text!r} is not a size.", hint="Write bytes, or a number and K, M, G or T: `64G`.")
    return size


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUsage:
    """What is in a cache: whole entries, downloads under way, and the bytes of both."""

    num_entries: int
    num_partial: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A folder of entries that together have at most `limit` bytes, those under way included.

    Any number of threads and processes may use one folder, each with a limit of its own.
    """

    folder: Path
    limit: int

    @classmethod
    def default(cls) -> Self:
        """The folder and limit that the environment names.

        `VPDATA_CACHE`, or else `vpdata` in `XDG_CACHE_HOME` or `~/.cache`; `VPDATA_CACHE_LIMIT`, or else a tenth of the
        disk that the folder is on.

        Raises:
            VpdataError: the limit is no size, or the folder cannot be made.
        """
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(os.environ.get(FOLDER_VARIABLE) or Path(caches) / "vpdata").absolute()
        with _storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            limit = os.environ.get(LIMIT_VARIABLE)
            return cls(folder=folder, limit=parse_size(limit) if limit else _disk_size(folder) // SHARE_OF_DISK)

    def has(self, name: str) -> bool:
        """Whether an entry is here; it counts as used."""
        return self.read(name, 0, 0) is not None

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes | None:
        """Bytes of an entry (to its end without a size), fewer where it is shorter, None where it is not here."""
        try:
            descriptor = os.open(f"{self.folder}/{name}", os.O_RDONLY)  # every window comes by: a Path costs as much
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(descriptor)
            if time.time() - status.st_mtime > _TOUCH_SECONDS:
                with _storing(self.folder / name):
                    os.utime(descriptor)
            return os.pread(descriptor, status.st_size - offset if size is None else size, offset)
        finally:
            os.close(descriptor)

    def drop(self, name: str) -> None:
        """Removes an entry if it is here."""
        (self.folder / name).unlink(missing_ok=True)

    def put(self, name: str, data: bytes) -> None:
        """Adds an entry unless it is here."""
        if not self.has(name):
            self.fill(name, len(data), lambda: data)

    def fill(self, name: str, size: int, fetch: Callable[[], bytes]) -> bytes | None:
        """Adds what `fetch` returns, `size` bytes, and returns it; None where it came from elsewhere meanwhile.

        Of all who ask for the same entry at the same time one fetches, and the others wait.

        Raises:
            ShardError: the folder cannot be written, is full, or may not hold so much. Nothing is left then.
            Exception: what `fetch` raises.
        """
        final = self.folder / name
        partial = final.with_name(final.name + PARTIAL)
        with _storing(final):
            descriptor = _claim(partial, final)
        if descriptor is None:
            return None
        try:
            with _storing(final):
                self._reserve(descriptor, size)
            data = fetch()
            with _storing(final):
                _write(descriptor, data)
                publish(partial, final, descriptor=descriptor)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            _release(descriptor)
        return data

    def usage(self) -> CacheUsage:
        """Counts what is here."""
        entries, partial = self._scan()
        return CacheUsage(
            num_entries=len(entries),
            num_partial=len(partial),
            num_bytes=sum(entry.size for entry in entries) + sum(partial),
        )

    def prune(self, limit: int) -> None:
        """Removes what killed processes left, and entries, those read longest ago first, until `limit` bytes are left.

        Downloads under way stay.
        """
        with _storing(self.folder), self._counting() as usage:
            self._count(usage, self._evict(limit))

    def _reserve(self, descriptor: int, size: int) -> None:
        """Makes room for `size` bytes and counts them; the file has its length from now on, for others to count."""
        if size > self.limit:
            what = f"{size} bytes do not fit into the cache, whose limit is {self.limit}."
            raise ShardError(what, path=self.folder, hint=f"Set {LIMIT_VARIABLE} to some gigabytes.")
        with self._counting() as usage:
            os.ftruncate(descriptor, size)
            before = os.pread(usage, 32, 0)
            used = int(before) + size if before.isdigit() else self.limit + 1
            if used > self.limit:
                used = self._evict(self.limit - self.limit // 10)  # some more, so that not every block needs a scan
            self._count(usage, used)

    def _evict(self, limit: int) -> int:
        """Removes entries until `limit` bytes are left, blocks before files; returns the bytes left."""
        entries, partial = self._scan()
        used = sum(entry.size for entry in entries) + sum(partial)
        for entry in sorted(entries, key=lambda entry: (entry.path.parent.name == _FILES, entry.used)):
            if used <= limit:
                break
            entry.path.unlink(missing_ok=True)
            used -= entry.size
        return used

    def _scan(self) -> tuple[list["_Entry"], list[int]]:
        """The entries, and the sizes of downloads under way; sweeps those that nobody writes any more."""
        entries, partial = [], []
        for kind in (_BLOCKS, _FILES, _HASHES):
            if not (self.folder / kind).is_dir():
                continue
            for path in (self.folder / kind).iterdir():
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                if path.suffix != PARTIAL:
                    entries.append(_Entry(path=path, size=status.st_size, used=status.st_mtime_ns))
                elif not _swept(path):
                    partial.append(status.st_size)
        return entries, partial

    @contextmanager
    def _counting(self) -> Iterator[int]:
        """Holds the lock of the file `usage`, whose descriptor it yields."""
        descriptor = _open_held(self.folder / _USAGE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            _release(descriptor)

    @staticmethod
    def _count(usage: int, num_bytes: int) -> None:
        os.ftruncate(usage, 0)
        os.pwrite(usage, str(num_bytes).encode(), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    path: Path
    size: int
    used: int


def _claim(partial: Path, final: Path) -> int | None:
    """The locked descriptor of `partial`, empty and ours to write; None once `final` is here. Waits for who has it."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    while not final.exists():
        descriptor = _open_held(partial)
        if _lock_unless_done(descriptor, final) and _is_at(descriptor, partial):
            return descriptor
        _release(descriptor)  # renamed, or swept, by who had it
    return None


def _lock_unless_done(descriptor: int, final: Path) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if final.exists():
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _swept(partial: Path) -> bool:
    """Removes a `.partial` that nobody holds."""
    try:
        descriptor = os.open(partial, os.O_RDWR)
    except FileNotFoundError:
        return True
    _held.add(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, partial):
            partial.unlink()
    except BlockingIOError:
        return False
    finally:
        _release(descriptor)
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _open_held(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    return descriptor


def _release(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)  # not by closing alone: a child forked just now has a copy
    _held.discard(descriptor)
    os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.pwrite(descriptor, rest, len(data) - len(rest)) :]


def _disk_size(folder: Path) -> int:
    return shutil.disk_usage(folder).total


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ShardError(
            f"the cache cannot be written ({error.strerror}).",
            path=path,
            hint=f"Free some space (`vpdata cache --prune-to 0` empties the cache), lower {LIMIT_VARIABLE}, "
            f"or set {FOLDER_VARIABLE} to a folder on another disk.",
        ) from error
