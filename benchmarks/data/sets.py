"""Set operations beside `cp` of the same bytes: `python -m benchmarks.data.sets --work DIR`.

Two data sets whose videos are random bytes (nothing decodes them) are merged, filtered to half of the episodes, sharded
anew and shuffled. Beside each stands `cp` of as many bytes, then fsync of every file, in the same round; both read what
is in the page cache. The operations check every byte, write an index, and fsync too.
"""

import argparse
import hashlib
import io
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import synthetic
from vpdata import __version__
from vpdata.clips.encode import ACTIONS, PROVENANCE, STATE, provenance_of
from vpdata.mixture.hashing import keyed_integer
from vpdata.schema import Clip
from vpdata.sets import operations
from vpdata.sets.plan import SetPlan
from vpdata.sets.write import write
from vpdata.shards.arrays import OwnedRows, merged
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import write_whole
from vpdata.shards.index import Index, to_parquet
from vpdata.shards.manifest import FORMAT_VERSION, INDEX_NAME, MANIFEST_NAME, FileInfo, Manifest, ShardInfo
from vpdata.shards.tar import write_shard
from vpdata.shards.validate import counts_of
from vpdata.stats import ArrayStatistics

NUM_FRAMES = (synthetic.CLIPS_AN_EPISODE - 1) * synthetic.CLIP_STARTS + synthetic.NUM_FRAMES
CLIP_CAMERA_FRAMES = len(synthetic.CAMERAS) * synthetic.NUM_FRAMES
GOAL = 0.7


def make(folder: Path, *, num_clips: int, seed: int) -> Dataset:
    """A data set that `vpdata validate` passes, of `num_clips` clips of about 0.55 MB."""
    if not (folder / MANIFEST_NAME).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rng = np.random.default_rng(seed)
        noise = rng.bytes(1 << 26)
        infos, clips, parts = [], list[Clip](), []
        for name, group in groupby(_clips(num_clips, seed=seed), key=lambda clip: clip.shard):
            planned = list(group)
            rows = OwnedRows()
            written = write_shard(folder / name, _contents(planned, noise, rng, rows))
            num_frames = sum(clip.num_frames for clip in planned)
            infos.append(
                ShardInfo(
                    name=name,
                    size=written.size,
                    sha256=written.sha256,
                    num_clips=len(planned),
                    num_frames=num_frames,
                )
            )
            parts.append(rows.statistics())
            clips += [replace(clip, members=members) for clip, members in zip(planned, written.members, strict=True)]
        index = to_parquet(clips)
        write_whole(folder / INDEX_NAME, index)
        write_whole(folder / MANIFEST_NAME, _manifest(infos, index, parts).to_bytes())
    return Dataset.open(folder)


def _clips(num_clips: int, *, seed: int) -> Iterator[Clip]:
    """Those of `synthetic`, with contents and so keys of their own for every seed."""
    for clip in synthetic.clips(num_clips):
        digest = f"{keyed_integer(seed, clip.episode.content_digest):032x}" * 2
        episode = replace(clip.episode, content_digest=digest, num_frames=NUM_FRAMES, num_actions=NUM_FRAMES)
        is_last = clip.span.stop == NUM_FRAMES
        span = replace(clip.span, num_starts=clip.num_frames if is_last else synthetic.CLIP_STARTS)
        key = f"{episode.episode_id}-{digest[:8]}-{span.start:05d}"
        yield replace(clip, key=key, episode=episode, span=span)


def _contents(
    clips: list[Clip], noise: bytes, rng: np.random.Generator, rows: OwnedRows
) -> Iterator[tuple[str, dict[str, bytes]]]:
    for clip in clips:
        contents = {ACTIONS: _npy(rng.normal(size=(71, 12))), STATE: _npy(rng.normal(size=(71, 16)))}
        contents[PROVENANCE] = provenance_of(clip, tool_version=__version__)
        for member in clip.members:
            if member.name not in contents:
                first = int(rng.integers(len(noise) - member.size))
                contents[member.name] = noise[first : first + member.size]
        rows.add(clip.episode, clip.span, contents)
        yield clip.key, contents


def _npy(rows: NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, rows, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _manifest(infos: list[ShardInfo], index: bytes, parts: list[dict[str, ArrayStatistics]]) -> Manifest:
    counts = counts_of(Index(index))
    return Manifest(
        format_version=FORMAT_VERSION,
        tool_version=__version__,
        source="robocasa",
        options={"shard_frames": synthetic.CLIPS_A_SHARD * CLIP_CAMERA_FRAMES},
        plan_digest="",
        shards=tuple(infos),
        index=FileInfo(name=INDEX_NAME, size=len(index), sha256=hashlib.sha256(index).hexdigest()),
        num_episodes=counts["num_episodes"],
        num_clips=counts["num_clips"],
        num_frames=counts["num_frames"],
        num_labelled_clips=counts["num_labelled_clips"],
        duration_seconds=counts["num_episodes"] * NUM_FRAMES / 20,
        statistics=merged(parts),
        skipped=(),
    )


def operation_seconds(plan: SetPlan, out: Path) -> tuple[float, int]:
    """Of the whole operation but planning, and the bytes of the new shards."""
    shutil.rmtree(out, ignore_errors=True)
    begin = time.monotonic()
    manifest = write(plan, out)
    return time.monotonic() - begin, sum(shard.size for shard in manifest.shards)


def cp_seconds(folders: list[Path], out: Path) -> tuple[float, int]:
    """Of `cp` of all shards, and fsync of each copy; and their bytes."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    begin = time.monotonic()
    for folder in folders:
        (out / folder.name).mkdir()
        subprocess.run(["cp", *sorted(folder.glob("*.tar")), out / folder.name], check=True)
    copies = sorted(out.glob("*/*.tar"))
    for copy in copies:
        with copy.open("rb") as file:
            os.fsync(file.fileno())
    return time.monotonic() - begin, sum(copy.stat().st_size for copy in copies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where the data sets are made and kept")
    parser.add_argument("--clips", type=int, default=1000, help="of each of the two data sets; 0.55 MB a clip")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    parts = [make(arguments.work / f"part-{i}", num_clips=arguments.clips, seed=i) for i in range(2)]
    whole = arguments.work / "whole"
    write(operations.merge(parts), whole)
    dataset = Dataset.open(whole)
    half = " or ".join(f"episode_id == 'demo_{i}'" for i in range(0, synthetic.EPISODES_A_FILE, 2))
    plans = {
        "merge": operations.merge(parts),
        "filter, half of the episodes": operations.keep(dataset, half),
        "reshard, a third of the size": operations.reshard(
            dataset, shard_frames=synthetic.CLIPS_A_SHARD * CLIP_CAMERA_FRAMES // 3
        ),
        "reshard, shuffled": operations.reshard(dataset, shuffle=0),
    }
    out = arguments.work / "out"
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in plans}
    for _ in range(arguments.rounds):
        for name, plan in plans.items():
            seconds, num_bytes = operation_seconds(plan, out)
            cp, cp_bytes = cp_seconds([part.path for part in parts], out)
            rates[name].append((num_bytes / seconds / 1e6, cp_bytes / cp / 1e6))
    shutil.rmtree(out)
    print(f"{sum(shard.size for shard in dataset.manifest.shards) / 1e9:.2f} GB, {os.cpu_count()} cores\n")
    print("| operation | MB/s | `cp` and fsync, MB/s | share | goal |\n|---|---|---|---|---|")
    for name, pairs in rates.items():
        ours, cp = (statistics.median(values) for values in zip(*pairs, strict=True))
        share = statistics.median(one / other for one, other in pairs)
        print(f"| {name} | {ours:.0f} | {cp:.0f} | {share:.2f} | {GOAL} |")


if __name__ == "__main__":
    main()
