"""A data set folder in, its clips and checked bytes, arrays and frames out."""

import hashlib
import io
import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.clips.encode import ACTIONS, STATE
from vpdata.errors import ShardError
from vpdata.schema import Clip, Member
from vpdata.shards.index import from_parquet
from vpdata.shards.manifest import Manifest, read_manifest

MAX_OPEN_SHARDS = 128


class Dataset:
    """A finished data set. Every byte that leaves it has passed its CRC-32.

    It may be pickled, forked and shared between threads: shards are opened when first read, by each process for itself
    (a forked one may use its parent's, since reads carry their own position), and the least recently used are closed.
    """

    def __init__(self, *, path: Path, manifest: Manifest, digest: str, clips: tuple[Clip, ...]) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest
        self.clips = clips
        self._sizes = {shard.name: shard.size for shard in manifest.shards}
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._lock = Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Reads the manifest and the index; no shard is touched yet.

        `digest` is the hex SHA-256 of `manifest.json`, and so of the whole data set; `clips` are in the order of the
        index.

        Raises:
            ShardError: no data set, another format version, or an index that is not the manifest's.
        """
        manifest, manifest_bytes = read_manifest(path)
        index_path = path / manifest.index.name
        try:
            index_bytes = index_path.read_bytes()
        except FileNotFoundError:
            raise ShardError("the index is missing.", path=index_path, hint="Restore it or ingest again.") from None
        hint = "Restore it, or ingest again into a new folder."
        if hashlib.sha256(index_bytes).hexdigest() != manifest.index.sha256:
            raise ShardError("the index is damaged (its SHA-256 is not the manifest's).", path=index_path, hint=hint)
        try:
            clips = from_parquet(index_bytes)
        except (pa.ArrowException, ValueError, KeyError) as error:
            raise ShardError(f"the index cannot be read ({error}).", path=index_path, hint=hint) from error
        digest = hashlib.sha256(manifest_bytes).hexdigest()
        return cls(path=path, manifest=manifest, digest=digest, clips=clips)

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r}, {len(self.clips)} clips)"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.path, self.manifest, self.digest, self.clips))

    def read(self, clip: Clip, member_name: str) -> bytes:
        """The data of one member, checked.

        Raises:
            ShardError: the shard is missing or truncated, the bytes are damaged, or the clip has no such member.
        """
        member = self._member(clip, member_name)
        if member is None:
            names = ", ".join(m.name for m in clip.members)
            raise ShardError(f"no member {member_name}; there are {names}.", path=clip.shard, episode=clip.key)
        file = self._file(clip)  # held until after the read, so that the descriptor stays open
        data = os.pread(file.descriptor, member.size, member.offset)
        if len(data) != member.size or zlib.crc32(data) != member.crc32:
            raise ShardError(
                f"{member_name} is damaged (its CRC-32 is not the index's).",
                path=self.path / clip.shard,
                episode=clip.key,
                hint=f"`vpdata validate {self.path}` lists all damage.",
            )
        return data

    def actions(self, clip: Clip) -> NDArray[np.generic] | None:
        """(num_actions, D) in the recorded dtype; row t follows frame t of the clip. None for an action-free clip."""
        return self._array(clip, ACTIONS)

    def state(self, clip: Clip) -> NDArray[np.generic] | None:
        """(num_frames, D) in the recorded dtype; row t goes with frame t of the clip. None where there is none."""
        return self._array(clip, STATE)

    def frames(self, clip: Clip, camera: str, indices: Sequence[int]) -> NDArray[np.uint8]:
        """RGB frames (len(indices), height, width, 3) of one camera; indices count from the clip's first frame.

        Raises:
            ShardError: no such camera or frame, or damage.
        """
        description = next((c for c in clip.episode.cameras if c.name == camera), None)
        if description is None:
            names = ", ".join(c.name for c in clip.episode.cameras)
            raise ShardError(f"no camera {camera!r}; there are {names}.", path=clip.shard, episode=clip.key)
        codec = codecs.load(clip.codec)
        data = self.read(clip, f"{camera}.{codec.extension}")
        try:
            return codec.decode(data, indices, height=description.height, width=description.width)
        except ShardError as error:
            where = f"camera {camera}: {error.what}"
            raise ShardError(where, path=self.path / clip.shard, episode=clip.key) from error

    def _array(self, clip: Clip, member_name: str) -> NDArray[np.generic] | None:
        if self._member(clip, member_name) is None:
            return None
        rows: NDArray[np.generic] = np.load(io.BytesIO(self.read(clip, member_name)), allow_pickle=False)
        return rows

    @staticmethod
    def _member(clip: Clip, name: str) -> Member | None:
        return next((member for member in clip.members if member.name == name), None)

    def _file(self, clip: Clip) -> "_OpenFile":
        with self._lock:
            file = self._files.pop(clip.shard, None) or _OpenFile(self.path / clip.shard, size=self._sizes[clip.shard])
            self._files[clip.shard] = file
            if len(self._files) > MAX_OPEN_SHARDS:
                self._files.popitem(last=False)
            return file


class _OpenFile:
    """A descriptor that closes once its last user lets go of it, so that no thread's file closes under it."""

    def __init__(self, path: Path, *, size: int) -> None:
        self.descriptor = -1
        hint = "Restore it, or ingest again into a new folder."
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


def _rebuild(path: Path, manifest: Manifest, digest: str, clips: tuple[Clip, ...]) -> Dataset:
    return Dataset(path=path, manifest=manifest, digest=digest, clips=clips)
