"""Files that appear whole or not at all: written under another name, flushed to the disk, then renamed."""

import hashlib
import os
from pathlib import Path

PARTIAL = ".partial"


def publish(partial: Path, final: Path, *, descriptor: int) -> None:
    """Gives a completely written file its final name, durably. `descriptor` is the still open file."""
    os.fsync(descriptor)
    partial.rename(final)
    sync_folder(final.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a small file atomically and durably."""
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        publish(partial, path, descriptor=file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes renames inside the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
