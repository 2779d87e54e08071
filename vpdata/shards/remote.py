"""The URL of a data set in, the bytes of its shards out, by way of a cache on this machine.

A shard is fetched in blocks: runs of whole clips, one range request each. A block enters the cache only if every member
in it has the CRC-32 of the index, which has the SHA-256 of the manifest, which has the digest that a mixture names.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from vpdata.errors import DamageError
from vpdata.shards.cache import Cache, block_name, file_name
from vpdata.shards.manifest import MANIFEST_NAME, Manifest, parse_manifest
from vpdata.shards.store import ShardLayout
from vpdata.shards.transfer import Patience, RemoteFolder

BLOCK_BYTES = 8 * 1024 * 1024
"""The clips that begin in the same so many bytes of a shard make a block."""
DOWNLOADS = 3
"""Times that a file with wrong bytes is fetched before it counts as damaged where it lies."""
_KEPT_LAYOUTS = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shard:
    """What a shard must be, and `ends`, the byte after each of its blocks."""

    name: str
    sha256: str
    layout: ShardLayout
    ends: tuple[int, ...]

    def block(self, offset: int) -> tuple[int, int]:
        """The bytes [start, stop) of the block that a byte is in."""
        i = bisect_right(self.ends, offset)
        return self.ends[i - 1] if i else 0, self.ends[i]

    def damaged(self, data: bytes, start: int) -> int | None:
        """Where the first member begins that lies whole in these bytes of the shard and has another CRC-32."""
        layout, view = self.layout, memoryview(data)
        first, last = (int(layout.offsets.searchsorted(byte)) for byte in (start, start + len(data)))
        for i in range(first, last):
            place, size = int(layout.offsets[i]) - start, int(layout.sizes[i])
            if place + size <= len(data) and isal_zlib.crc32(view[place : place + size]) != layout.crc32[i]:
                return start + place
        return None


class RemoteStore:
    """See `vpdata.shards.store.Store`. Several processes may use the same cache.

    Args:
        place: the URL of a data set, with any protocol that fsspec knows. A revision of the Hub is resolved to a commit
            once, and `place` names it then.
        digest: hex SHA-256 of the manifest that is wanted, where it is known. If the cache has it, neither manifest nor
            index is asked for.
        cache: where fetched bytes are kept; None: where the environment says.
        patience: with faults of the network.
        block_bytes: see `BLOCK_BYTES`.

    Raises:
        ShardError: the URL is none, or its revision cannot be looked up.
    """

    def __init__(
        self,
        place: str,
        *,
        digest: str | None = None,
        cache: Cache | None = None,
        patience: Patience | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._folder = RemoteFolder(place, patience=patience or Patience())
        self._cache = cache or Cache.default()
        self._block_bytes = block_bytes
        self._sha256 = {MANIFEST_NAME: digest}
        if digest is None or not self._cache.has(file_name(digest)):
            self._folder.pin()
        self.place = self._folder.url

    def read_file(self, name: str) -> bytes:
        """See `Store`: from the cache if it has the one that is wanted."""
        sha256 = self._sha256.get(name)
        data = self._cache.read(file_name(sha256)) if sha256 else None
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            data = self._fetch_file(name, sha256)
        if name == MANIFEST_NAME:
            index = parse_manifest(data, place=self.place).index
            self._sha256[index.name] = index.sha256
        return data

    def attach(self, manifest: Manifest, layout_of: Callable[[str], ShardLayout]) -> None:
        """See `Store`."""
        shards = {shard.name: shard for shard in manifest.shards}

        @lru_cache(maxsize=_KEPT_LAYOUTS)
        def described(name: str) -> _Shard:
            layout, info = layout_of(name), shards[name]
            ends = _block_ends(layout.clip_ends, size=info.size, block_bytes=self._block_bytes)
            return _Shard(name=name, sha256=info.sha256, layout=layout, ends=ends)

        self._shard = described

    def read(self, shard: str, offset: int, size: int) -> bytes:
        """See `Store`. Raises DamageError where what lies at the URL has other checksums than the index."""
        about, stop, parts = self._shard(shard), offset + size, []
        while offset < stop:
            block = about.block(offset)
            end = min(stop, block[1])
            parts.append(self._read(about, block, offset, end))
            offset = end
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def prefetch(self, shard: str, offset: int, size: int) -> None:
        """See `Store`: fetches what is not in the cache."""
        about, stop = self._shard(shard), offset + size
        while offset < stop:
            block = about.block(offset)
            if not self._cache.has(block_name(about.sha256, *block)):
                self._fill(about, block)
            offset = block[1]

    def _read(self, shard: _Shard, block: tuple[int, int], start: int, stop: int) -> bytes:
        name = block_name(shard.sha256, *block)
        while True:
            data = self._cache.read(name, start - block[0], stop - start)
            if data is not None:
                if len(data) == stop - start and shard.damaged(data, start) is None:
                    return data
                self._cache.drop(name)  # the disk has damaged it
            whole = self._fill(shard, block)
            if whole is not None:
                return whole[start - block[0] : stop - block[0]]

    def _fill(self, shard: _Shard, block: tuple[int, int]) -> bytes | None:
        name = block_name(shard.sha256, *block)
        return self._cache.fill(name, block[1] - block[0], lambda: self._fetch_block(shard, *block))

    def _fetch_block(self, shard: _Shard, start: int, stop: int) -> bytes:
        for _ in range(DOWNLOADS):
            data = self._folder.read(shard.name, start=start, stop=stop)
            damaged = shard.damaged(data, start)
            if damaged is None:
                return data
        raise DamageError(
            f"the member at byte {damaged} is damaged (its CRC-32 is not the index's), in {DOWNLOADS} downloads.",
            path=f"{self.place}/{shard.name}",
            hint="Publish the shard again, or repair the data set where it lies.",
        )

    def _fetch_file(self, name: str, sha256: str | None) -> bytes:
        """A whole file, kept in the cache if it is what was wanted; else as it is, for the caller to refuse."""
        for _ in range(DOWNLOADS):
            data = self._folder.read(name)
            found = hashlib.sha256(data).hexdigest()
            if sha256 in (None, found):
                self._cache.put(file_name(found), data)
                break
        return data


def _block_ends(clip_ends: NDArray[np.int64], *, size: int, block_bytes: int) -> tuple[int, ...]:
    """A block ends where the next clip begins in other `block_bytes`, the last one with the shard."""
    starts = np.append(0, clip_ends[:-1])
    others = np.diff(starts // block_bytes) > 0
    return (*starts[1:][others].tolist(), size)
