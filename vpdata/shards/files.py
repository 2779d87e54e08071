"""Files that appear whole or not at all: written under another name, flushed to the disk, then renamed."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vpdata.errors import VpdataError

PARTIAL = ".partial"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def publish(partial: Path, final: Path, *, descriptor: int) -> None:
    """Gives a completely written file its final name, durably. `descriptor` is the still open file."""
    os.fsync(descriptor)
    partial.rename(final)
    sync(final.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a small file atomically and durably."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            publish(partial, path, descriptor=file.fileno())
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Makes the bytes of a file, or renames inside a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def full_disk_as_error(folder: Path) -> Iterator[None]:
    """Turns a failure to write into `folder` for want of space or permission into a VpdataError."""
    try:
        yield
    except OSError as error:
        place = Path(error.filename or "")
        if error.errno in NOT_ALLOWED and (place.is_relative_to(folder) or folder.is_relative_to(place)):
            hint = "Choose another folder, or change who may write to this one."
            raise VpdataError(f"cannot write ({os.strerror(error.errno)}).", path=folder, hint=hint) from error
        if error.errno not in NO_SPACE:
            raise
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free
        what = f"cannot write ({os.strerror(error.errno)}): {free / 1e6:.0f} MB are free."
        raise VpdataError(what, path=folder, hint="Make room.") from error


@contextmanager
def locked_file(path: Path, *, busy: VpdataError) -> Iterator[None]:
    """Holds a lock that is no other process's; one whose process died does not count.

    Raises:
        VpdataError: `busy`, where another process holds it, or removed the file with its folder just now.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        if os.fstat(descriptor).st_nlink == 0:
            raise busy
        yield
    finally:
        os.close(descriptor)


def write_named(path: Path, data: bytes) -> None:
    """`write_whole` for a file that a user named, in a folder that is made where needed.

    Raises:
        VpdataError: PATH is a folder, the disk is full, or nothing may be written there.
    """
    if path.is_dir():
        raise VpdataError("this is a folder.", path=path, hint="Name a file with --out.")
    with full_disk_as_error(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
