"""The place of a data set in, its clips and checked bytes, arrays and frames out."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from isal import isal_zlib
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.clips.encode import ACTIONS, STATE
from vpdata.clips.latents import latents_member
from vpdata.errors import DamageError, ShardError
from vpdata.schema import Camera, Clip, Member
from vpdata.shards.index import Clips, Index
from vpdata.shards.manifest import MANIFEST_NAME, Manifest, parse_manifest
from vpdata.shards.npy import array_from, array_in
from vpdata.shards.store import ShardLayout, Store, is_url, open_store


class Dataset:
    """A finished data set. Every byte that leaves it has passed its CRC-32.

    It may be pickled, forked and shared between threads. It is pickled as its place and digest: another process reads
    manifest and index when it first needs them, and refuses those of another data set.

    Attributes:
        digest: hex SHA-256 of `manifest.json`, and so of the whole data set.
    """

    def __init__(
        self, *, store: Store, digest: str, manifest: Manifest | None = None, index: Index | None = None
    ) -> None:
        """Takes what has been read already; the rest is read and checked when first needed."""
        self.digest = digest
        self._store = store
        self._manifest = manifest
        self._index = index
        if manifest is not None:
            store.attach(manifest, self._layout_of)

    @classmethod
    def open(cls, place: Path | str, *, digest: str | None = None) -> Self:
        """Reads the manifest, and checks the index; no shard is touched yet.

        Args:
            place: a folder, or a URL with a protocol (`hf://…`, `s3://…`, `https://…`).
            digest: the one that is expected, where it is known: a remote data set is then taken from the cache if it
                is there. What was found is in `Dataset.digest`.

        Raises:
            ShardError: no data set, another format version, or an index that is not the manifest's.
        """
        store = open_store(place, digest=digest)
        data = store.read_file(MANIFEST_NAME)
        manifest = parse_manifest(data, place=store.place)
        return cls(
            store=store,
            digest=hashlib.sha256(data).hexdigest(),
            manifest=manifest,
            index=_read_index(store, manifest),
        )

    def __repr__(self) -> str:
        return f"Dataset({self.place!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopened, (self.place, self.digest))

    @property
    def place(self) -> str:
        """The folder or URL."""
        return self._store.place

    @property
    def path(self) -> Path:
        """The folder. Raises ShardError for a remote data set."""
        if is_url(self.place):
            raise ShardError("this needs a data set in a folder, not a remote one.", path=self.place)
        return Path(self.place)

    @property
    def manifest(self) -> Manifest:
        """Counts, statistics, and the digests of all files."""
        if self._manifest is None:
            data = self._store.read_file(MANIFEST_NAME)
            if hashlib.sha256(data).hexdigest() != self.digest:
                what = "the data set was replaced while it was in use."
                raise ShardError(what, path=self.place, hint="Start again with the one that is there now.")
            manifest = parse_manifest(data, place=self.place)
            self._store.attach(manifest, self._layout_of)
            self._manifest = manifest
        return self._manifest

    @property
    def index(self) -> Index:
        """The columns of all clips."""
        if self._index is None:
            self._index = _read_index(self._store, self.manifest)
        return self._index

    @property
    def clips(self) -> Clips:
        """The clips in the order of the index; each is built when asked for."""
        return Clips(self.index)

    def read(self, clip: Clip, member_name: str) -> bytes:
        """The data of one member, checked.

        Raises:
            ShardError: the shard is missing or truncated, the bytes are damaged, or the clip has no such member.
        """
        member = _member(clip, member_name)
        if member is None:
            names = ", ".join(m.name for m in clip.members)
            raise ShardError(f"no member {member_name}; there are {names}.", path=clip.shard, episode=clip.key)
        _ = self.manifest  # what the store checks shards against
        data = self._store.read(clip.shard, member.offset, member.size)
        if isal_zlib.crc32(data) != member.crc32:
            raise self._damaged(clip, member_name)
        return data

    def read_clip(self, i: int) -> Mapping[str, memoryview]:
        """The data of all members of clip i by name, in the shard's order, each checked; with a single read.

        Raises:
            IndexError: i is not in [0, number of clips).
            ShardError: the shard is missing or truncated, or the bytes are damaged.
        """
        shard, names, offsets, sizes, crc32s = self.index.places(i)
        first = offsets[0]
        data = memoryview(self._store.read(shard, first, offsets[-1] + sizes[-1] - first))
        members = {}
        for name, offset, size, crc32 in zip(names, offsets, sizes, crc32s, strict=True):
            members[name] = member = data[offset - first : offset - first + size]
            if isal_zlib.crc32(member) != crc32:
                raise self._damaged(self.clips[i], name)
        return members

    def prefetch(self, clip: Clip, cameras: Sequence[str] | None = None) -> None:
        """Brings these cameras (None for all) of a clip, its actions and its state near; a folder does nothing."""
        _ = self.manifest
        left_out: set[str] = set()
        if cameras is not None:
            extension = codecs.load(clip.codec).extension
            left_out = {f"{c.name}.{extension}" for c in clip.episode.cameras if c.name not in cameras}
        for member in clip.members:
            if member.name not in left_out:
                self._store.prefetch(clip.shard, member.offset, member.size)

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
        described = _camera(clip, camera)
        out = np.empty((len(indices), described.height, described.width, 3), np.uint8)
        self.frames_into(clip, camera, indices, out)
        return out

    def frames_into(self, clip: Clip, camera: str, indices: Sequence[int], out: NDArray[np.uint8]) -> None:
        """As `frames`, into `out`, uint8 (len(indices), height, width, 3) of the size that is stored."""
        _camera(clip, camera)
        codec = codecs.load(clip.codec)
        data = self.read(clip, f"{camera}.{codec.extension}")
        try:
            codec.decode_into(data, indices, out)
        except ShardError as error:
            where = f"camera {camera}: {error.what}"
            raise DamageError(where, path=f"{self.place}/{clip.shard}", episode=clip.key) from error

    def latents_into(
        self, clip: Clip, camera: str, indices: Sequence[int], out: NDArray[np.uint8], *, variant: int
    ) -> None:
        """Writes the latents of one camera's frames into `out`, byte by byte, of a clip that holds those.

        Args:
            clip, camera, indices: as `frames` takes them.
            out: uint8 (len(indices), ..., n) for numbers of any type, the last n bytes of which stand together.
            variant: which of the clip's variants.

        Raises:
            ShardError: the clip holds pictures, has no such variant, or latents of another shape; or damage.
        """
        rows = array_in(self.read(clip, latents_member(camera, variant)))
        stored = rows.view(np.uint8)
        if stored.shape[1:] != out.shape[1:]:
            what = f"camera {camera}: each frame's latents take {stored.shape[1:]} bytes, expected {out.shape[1:]}."
            raise ShardError(what, path=f"{self.place}/{clip.shard}", episode=clip.key)
        out[:] = stored[indices]

    def _array(self, clip: Clip, member_name: str) -> NDArray[np.generic] | None:
        return None if _member(clip, member_name) is None else array_from(self.read(clip, member_name))

    def _damaged(self, clip: Clip, member_name: str) -> DamageError:
        return DamageError(
            f"{member_name} is damaged (its CRC-32 is not the index's).",
            path=f"{self.place}/{clip.shard}",
            episode=clip.key,
            hint=f"`vpdata validate {self.place}` lists all damage.",
        )

    def _layout_of(self, shard: str) -> ShardLayout:
        return self.index.layout(shard)


def _read_index(store: Store, manifest: Manifest) -> Index:
    data = store.read_file(manifest.index.name)
    path = f"{store.place}/{manifest.index.name}"
    hint = "Restore it, or let `vpdata repair` keep what is whole."
    if hashlib.sha256(data).hexdigest() != manifest.index.sha256:
        raise ShardError("the index is damaged (its SHA-256 is not the manifest's).", path=path, hint=hint)
    try:
        return Index(data)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise ShardError(f"the index cannot be read ({error}).", path=path, hint=hint) from error


def _member(clip: Clip, name: str) -> Member | None:
    return next((member for member in clip.members if member.name == name), None)


def _camera(clip: Clip, name: str) -> Camera:
    described = next((camera for camera in clip.episode.cameras if camera.name == name), None)
    if described is None:
        names = ", ".join(camera.name for camera in clip.episode.cameras)
        raise ShardError(f"no camera {name!r}; there are {names}.", path=clip.shard, episode=clip.key)
    return described


def _reopened(place: str, digest: str) -> Dataset:
    return Dataset(store=open_store(place, digest=digest), digest=digest)
