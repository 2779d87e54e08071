"""A data set and an encoder in, a data set of the same clips with latents in place of pictures out.

It has the same shards with the same clips in the same order, and the clips' actions and states beside the latents.
Shards are written into `OUT/.ingest/` and move to their final names at the end, the manifest last. It may be killed at
any moment: the same call keeps every shard that was finished.
"""

import hashlib
import io
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vpdata import __version__
from vpdata.clips.encode import ACTIONS, PROVENANCE, STATE, provenance_of
from vpdata.clips.latents import LATENTS, latents_member
from vpdata.loader.window import window_cameras
from vpdata.schema import Clip
from vpdata.sets.plan import as_input
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import full_disk_as_error
from vpdata.shards.index import to_parquet
from vpdata.shards.manifest import FORMAT_VERSION, INDEX_NAME, FileInfo, Manifest, Operation, ShardInfo
from vpdata.shards.staging import STAGING, Journal, Staging, existing_of, locked
from vpdata.shards.tar import write_shard
from vptrain.config import to_dict
from vptrain.latents.encode import LatentEncoder
from vptrain.latents.recipe import LatentRecipe

VERB = "latents"
AHEAD = 4
"""Clips that are decoded while others are encoded."""

Pictures = dict[str, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentPlan:
    """Latents to be: of a data set, by a recipe."""

    source: Dataset
    recipe: LatentRecipe

    @property
    def operation(self) -> Operation:
        """As it stands in the manifest."""
        return Operation(
            verb=VERB,
            arguments=to_dict(self.recipe),
            tool_version=__version__,
            inputs=(as_input(self.source),),
        )

    def digest(self) -> str:
        """Hex SHA-256 by which finished latents are known to be this plan's."""
        value = [FORMAT_VERSION, asdict(self.operation)]
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def clips(self, shard: str) -> Iterator[Clip]:
        """The clips of a shard as they will be, but for their members."""
        index = self.source.index
        for clip in map(index.clip, index.rows_of(shard)):
            shown = window_cameras(clip, self.recipe.cameras)
            cameras = tuple(camera for camera in clip.episode.cameras if camera.name in shown)
            yield replace(clip, codec=LATENTS, episode=replace(clip.episode, cameras=cameras))

    @property
    def camera_frames(self) -> int:
        """Frames to encode, of all cameras together, each `num_variants` times."""
        shards = (shard.name for shard in self.source.manifest.shards)
        return sum(_camera_frames(clip) for shard in shards for clip in self.clips(shard))

    @property
    def num_bytes(self) -> int:
        """Of all latents; arrays, indexes and headers are small beside them."""
        return self.camera_frames * self.recipe.num_variants * self.recipe.bytes_a_frame


def up_to_date(plan: LatentPlan, out: Path) -> Manifest | None:
    """The manifest at OUT if it is this plan's, None where there is none yet.

    Raises:
        ShardError: OUT holds something else, or these latents with files missing or cut off.
    """
    other = "the folder holds other data, or latents made otherwise."
    return existing_of(out, plan_digest=plan.digest(), other=other)


def write(
    plan: LatentPlan,
    out: Path,
    encoder: LatentEncoder,
    *,
    num_workers: int,
    progress: Callable[[int], object] = lambda _: None,
) -> Manifest:
    """Carries a plan out, or finds that it was.

    Args:
        plan: what to make.
        out: the folder to make; new, empty, what an interrupted run left, or these very latents.
        encoder: of the plan's recipe.
        num_workers: threads that read and decode ahead, at least 1.
        progress: called with the camera frames encoded, or found encoded, since the last call.

    Raises:
        ShardError: OUT holds something else, or the source is missing or damaged.
        VpdataError: the disk is full, or another command works at OUT.
        VptrainError: latents are not finite.
    """
    manifest = up_to_date(plan, out)
    if manifest is not None and not (out / STAGING).exists():
        progress(plan.camera_frames)
        return manifest
    with full_disk_as_error(out), locked(out) as staging:
        manifest = up_to_date(plan, out)
        if manifest is not None:
            return manifest
        names = [shard.name for shard in plan.source.manifest.shards]
        staging.keep_only(set(names))
        with ThreadPoolExecutor(num_workers) as pool:
            shards = [_write_shard(plan, name, staging, encoder, pool, progress) for name in names]
        index = to_parquet(_indexed(plan, staging))
        manifest = _manifest(plan, shards, index)
        staging.publish(names, index=index, manifest=manifest.to_bytes())
    return manifest


def _write_shard(
    plan: LatentPlan,
    name: str,
    staging: Staging,
    encoder: LatentEncoder,
    pool: ThreadPoolExecutor,
    progress: Callable[[int], object],
) -> ShardInfo:
    decides = f"{plan.digest()} {name} {np.__version__} {torch.__version__} {encoder.device.type}"
    key = hashlib.sha256(decides.encode()).hexdigest()
    clips = list(plan.clips(name))
    journal = staging.finished(name, key=key)
    if journal is None:
        written = write_shard(staging.folder / name, _contents(plan, clips, encoder, pool, progress))
        journal = Journal(key=key, size=written.size, sha256=written.sha256, members=written.members, statistics={})
        staging.record(name, journal)
    else:
        progress(sum(map(_camera_frames, clips)))
    return ShardInfo(
        name=name,
        size=journal.size,
        sha256=journal.sha256,
        num_clips=len(clips),
        num_frames=sum(clip.num_frames for clip in clips),
    )


def _contents(
    plan: LatentPlan,
    clips: list[Clip],
    encoder: LatentEncoder,
    pool: ThreadPoolExecutor,
    progress: Callable[[int], object],
) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    rows = plan.source.index.rows_of(clips[0].shard)
    stored = [plan.source.index.clip(row) for row in rows]
    for old, new, pictures in zip(stored, clips, _decoded(plan.source, stored, clips, pool), strict=True):
        members = {m.name: plan.source.read(old, m.name) for m in old.members if m.name in (ACTIONS, STATE)}
        for camera, frames in pictures.items():
            for variant, numbers in enumerate(encoder.encode(frames, key=new.key, camera=camera)):
                members[latents_member(camera, variant)] = _npy(numbers)
        members[PROVENANCE] = provenance_of(new, tool_version=__version__)
        yield new.key, members
        progress(_camera_frames(new))


def _decoded(source: Dataset, stored: list[Clip], clips: list[Clip], pool: ThreadPoolExecutor) -> Iterator[Pictures]:
    """The pictures of each clip in order, of which a few are decoded ahead."""

    def decode(pair: tuple[Clip, Clip]) -> Pictures:
        old, new = pair
        every = range(old.num_frames)
        return {camera.name: source.frames(old, camera.name, every) for camera in new.episode.cameras}

    pairs = zip(stored, clips, strict=True)
    waiting: deque[Future[Pictures]] = deque(pool.submit(decode, pair) for pair in islice(pairs, AHEAD))
    while waiting:
        pictures = waiting.popleft().result()
        waiting.extend(pool.submit(decode, pair) for pair in islice(pairs, 1))
        yield pictures


def _camera_frames(clip: Clip) -> int:
    return clip.num_frames * len(clip.episode.cameras)


def _npy(numbers: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, numbers, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _indexed(plan: LatentPlan, staging: Staging) -> Iterator[Clip]:
    for shard in plan.source.manifest.shards:
        for clip, members in zip(plan.clips(shard.name), staging.journal(shard.name).members, strict=True):
            yield replace(clip, members=members)


def _manifest(plan: LatentPlan, shards: list[ShardInfo], index: bytes) -> Manifest:
    return replace(
        plan.source.manifest,
        tool_version=__version__,
        options={},
        plan_digest=plan.digest(),
        shards=tuple(shards),
        index=FileInfo(name=INDEX_NAME, size=len(index), sha256=hashlib.sha256(index).hexdigest()),
        operation=plan.operation,
    )
