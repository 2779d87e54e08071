"""The place of a data set in, the bytes of its files out: a folder here, or a URL (`vpdata.shards.remote`).

A store moves bytes and knows nothing of clips. Whoever reads checks them: `Dataset` every member, every time.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import ShardError
from vpdata.shards.manifest import MANIFEST_NAME, Manifest, manifest_bytes

MAX_OPEN_SHARDS = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardLayout:
    """Where the members of one shard lie, in the shard's order.

    Attributes:
        offsets, sizes: (M,) int64, first byte and number of bytes of each member's data.
        crc32: (M,) uint32, of those bytes.
        clip_ends: (K,) int64, the byte after the last member of each clip with its padding, where the next clip begins.
    """

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    crc32: NDArray[np.uint32]
    clip_ends: NDArray[np.int64]


class Store(Protocol):
    """Where the files of a data set lie. Stores may be shared between threads and are pickled as their place."""

    place: str
    """The folder or URL, for messages."""

    def read_file(self, name: str) -> bytes:
        """The whole manifest or index. Raises ShardError where it is missing."""
        ...

    def attach(self, manifest: Manifest, layout_of: Callable[[str], ShardLayout]) -> None:
        """Says what the shards must be, and where their members lie; called before the first `read`."""
        ...

    def read(self, shard: str, offset: int, size: int) -> bytes:
        """`size` bytes of a shard. Raises ShardError where the shard is missing, or not of the manifest's size."""
        ...

    def prefetch(self, shard: str, offset: int, size: int) -> None:
        """Brings what `read` will soon be asked for near, where it is far; takes as long as that takes."""
        ...


def is_url(place: Path | str) -> bool:
    """Whether a place is a URL with a protocol (`hf://…`, `s3://…`, `https://…`) and not a path."""
    return isinstance(place, str) and "://" in place


def open_store(place: Path | str, *, digest: str | None = None) -> Store:
    """The store at a folder or URL.

    Args:
        place: a folder, or a URL with a protocol.
        digest: hex SHA-256 of the manifest that is wanted, where it is known: a remote store may have that very
            manifest and index at hand and asks for nothing then. Nothing is checked against it.

    Raises:
        ShardError: the place cannot be reached.
    """
    if is_url(place):
        from vpdata.shards.remote import RemoteStore  # fsspec is slow to import

        return RemoteStore(str(place), digest=digest)
    return LocalStore(Path(place))


class LocalStore:
    """A folder on this machine.

    Shards are opened when first read, by each process for itself (a forked one may use its parent's, since reads carry
    their own position), and those not used for longest are closed.
    """

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder = folder
        self._sizes: dict[str, int] = {}
        self._files: dict[str, _OpenFile] = {}
        self._lock = Lock()

    def read_file(self, name: str) -> bytes:
        """See `Store`."""
        if name == MANIFEST_NAME:
            return manifest_bytes(self._folder)
        path = self._folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            what = f"the {path.stem} is missing."
            raise ShardError(what, path=path, hint="Restore it, or let `vpdata repair` keep what is whole.") from None

    def attach(self, manifest: Manifest, layout_of: Callable[[str], ShardLayout]) -> None:  # noqa: ARG002
        """See `Store`; the sizes are all that a folder needs."""
        self._sizes = {shard.name: shard.size for shard in manifest.shards}

    def read(self, shard: str, offset: int, size: int) -> bytes:
        """See `Store`."""
        file = self._file(shard)  # held until after the read, so that the descriptor stays open
        data = os.pread(file.descriptor, size, offset)
        if len(data) != size:
            what = f"the shard was cut off while in use: byte {offset + len(data)} is missing."
            raise ShardError(what, path=self._folder / shard, hint=f"`vpdata validate {self.place}` lists all damage.")
        return data

    def prefetch(self, shard: str, offset: int, size: int) -> None:
        """See `Store`; the operating system reads ahead well enough."""

    def _file(self, shard: str) -> "_OpenFile":
        with self._lock:
            file = self._files.pop(shard, None)
            if file is None:
                file = _OpenFile(self._folder / shard, size=self._sizes[shard])
                if len(self._files) >= MAX_OPEN_SHARDS:
                    del self._files[next(iter(self._files))]
            self._files[shard] = file  # the last one is the most recently used
        return file


class _OpenFile:
    """A descriptor that closes once its last user lets go of it, so that no thread's file closes under it."""

    def __init__(self, path: Path, *, size: int) -> None:
        self.descriptor = -1
        hint = "Restore it, or let `vpdata repair` keep what is whole."
        try:
            self.descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise ShardError("the shard is missing.", path=path, hint=hint) from None
        found = os.fstat(self.descriptor).st_size
        if found != size:
            raise ShardError(f"the shard has {found} bytes, the manifest says {size}.", path=path, hint=hint)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
