"""Clips as bytes in, one deterministic tar shard out, with the place and checksum of every member.

Nothing but keys, names and data decides the bytes: headers have no time, owner or varying mode. `docs/FORMAT.md` has
the layout.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

from vpdata.schema import Member
from vpdata.shards.files import PARTIAL

BLOCK = 512
END = bytes(2 * BLOCK)
NAME, SIZE, CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)
"""Where the only fields of a header stand that differ between members; the checksum counts itself as spaces."""
_BUFFER = 1 << 18
"""Bytes that are written at once: smaller pieces cost the file system more, larger ones the caches."""
_WRITEBACK = 1 << 22
"""Bytes after which they begin to go to the disk, so that little is left for the fsync at the end to wait for."""
_EMPTY = tarfile.TarInfo().tobuf(tarfile.PAX_FORMAT)
_REST = (
    sum(_EMPTY[: SIZE.start]) + sum(_EMPTY[SIZE.stop : CHECKSUM.start]) + sum(_EMPTY[CHECKSUM.stop :]) + 8 * ord(" ")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenShard:
    """A finished shard: its size in bytes, hex SHA-256, and the members of each clip in order."""

    size: int
    sha256: str
    members: tuple[tuple[Member, ...], ...]


def header(key: str, member: str, *, size: int) -> bytes:
    """The tar header of one member: ustar, with a pax record before it only where the name does not fit."""
    name, octal = f"{key}.{member}".encode("ascii"), b"%011o\0" % size
    if len(name) > NAME.stop or len(octal) > SIZE.stop - SIZE.start:
        info = tarfile.TarInfo(f"{key}.{member}")
        info.size = size
        return info.tobuf(tarfile.PAX_FORMAT)
    checksum = b"%06o\0 " % (_REST + sum(name) + sum(octal))  # tarfile takes ten times as long
    between = _EMPTY[SIZE.stop : CHECKSUM.start]
    return b"".join(
        (
            name.ljust(NAME.stop, b"\0"),
            _EMPTY[NAME.stop : SIZE.start],
            octal,
            between,
            checksum,
            _EMPTY[CHECKSUM.stop :],
        )
    )


def padding(size: int) -> bytes:
    """The zeros that fill a member's last block."""
    return bytes(-size % BLOCK)


def write_shard(
    path: Path, clips: Iterable[tuple[str, Mapping[str, bytes | memoryview]]], *, sha256: str | None = None
) -> WrittenShard:
    """Writes (key, members by name) in the given order, members sorted by name; `path` appears once all is written.

    Its bytes are on the disk then; its name is once the folder is. Whatever `clips` raises leaves no file behind.
    `sha256` is the hex SHA-256 of the shard where it is known; to compute it is most of what writing costs.
    """
    digest = hashlib.sha256()
    position = begun = 0
    written: list[tuple[Member, ...]] = []
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb", buffering=_BUFFER) as file:
            for key, contents in clips:
                members = []
                parts: list[bytes | memoryview] = []
                for name, data in sorted(contents.items()):
                    head = header(key, name, size=len(data))
                    offset = position + len(head)
                    members.append(Member(name=name, offset=offset, size=len(data), crc32=isal_zlib.crc32(data)))
                    parts += (head, data, padding(len(data)))
                    position = offset + len(data) + len(parts[-1])
                written.append(tuple(members))
                clip = b"".join(parts)  # one call each lets go of the interpreter once, not for every part
                file.write(clip)
                if position - begun >= _WRITEBACK:
                    _begin_writing(file.fileno(), begun, position)
                    begun = position
                if sha256 is None:
                    digest.update(clip)
            file.write(END)
            if sha256 is None:
                digest.update(END)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return WrittenShard(size=position + len(END), sha256=sha256 or digest.hexdigest(), members=tuple(written))


def _begin_writing(descriptor: int, start: int, stop: int) -> None:
    """Lets bytes [start, stop) of a file begin to go to the disk, and waits for nothing.

    That is what Linux makes of "not needed" where it has not written them yet; they stay in its cache.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, stop - start, os.POSIX_FADV_DONTNEED)
