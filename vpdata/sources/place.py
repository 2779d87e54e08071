"""Where the bytes of one video lie: in a file of its own, in a part of a file, or in memory.

Enters: such a place. Leaves: what FFmpeg can open and seek in, the SHA-256 of the bytes, and errors that say where.
"""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from vpdata.errors import SourceError
from vpdata.sources.files import file_digest

_READ_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """Bytes [offset, offset + size) of a file, such as a member of a tar; `name` is what they are called in it."""

    path: Path
    offset: int
    size: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A video in memory that was read from a file; `name` is what it is called in it."""

    path: Path
    name: str
    data: bytes = field(repr=False)


Place = Path | FilePart | Held


def problem(place: Place, what: str, *, hint: str) -> SourceError:
    """An error about the video at that place."""
    if isinstance(place, Path):
        return SourceError(what, path=place, hint=hint)
    return SourceError(what, path=place.path, episode=place.name, hint=hint)


def size_of(place: Place) -> int:
    """Bytes of the video. Raises SourceError where it has no file."""
    if isinstance(place, FilePart):
        return place.size
    if isinstance(place, Held):
        return len(place.data)
    if not place.is_file():
        raise problem(place, "there is no such file.", hint="Check the path.")
    return place.stat().st_size


def digest_of(place: Place) -> str:
    """Hex SHA-256 of the video's bytes."""
    if isinstance(place, Path):
        return file_digest(place)
    digest = hashlib.sha256()
    for block in _blocks(place) if isinstance(place, FilePart) else (place.data,):
        digest.update(block)
    return digest.hexdigest()


def media(place: Place) -> str | BinaryIO:
    """What PyAV opens: a path, a URL of FFmpeg for a part of a file, or a stream."""
    if isinstance(place, Path):
        return str(place)
    if isinstance(place, Held):
        return io.BytesIO(place.data)
    return f"subfile,,start,{place.offset},end,{place.offset + place.size},,:file:{place.path}"


def first_bytes(place: Place, count: int) -> bytes:
    """At most the first `count` bytes."""
    if isinstance(place, Held):
        return place.data[:count]
    if isinstance(place, FilePart):
        return next(_blocks(place), b"")[:count]
    with place.open("rb") as file:
        return file.read(count)


def _blocks(place: FilePart) -> Iterator[bytes]:
    with place.path.open("rb") as file:
        file.seek(place.offset)
        left = place.size
        while left and (block := file.read(min(left, _READ_BYTES))):
            left -= len(block)
            yield block
