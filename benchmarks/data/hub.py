"""How many requests, commits and seconds it takes to publish a data set of many shards, and to pull it.

    python -m benchmarks.data.hub --work DIR --shards 9995

Enters: nothing; DIR/set gets a data set of so many shards, each with the same small real clip under another key.
Leaves a table, with `--json` the same figures: of a first publishing, of one with nothing to do, and of a pull, against
a Hub on loopback (`tests/hub/server.py`), by Git LFS with its call of `verify` for every file.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.hub.server import Hub, serving
from vpdata.clips.encode import PROVENANCE, provenance
from vpdata.ingest import IngestOptions, ingest
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import write_whole
from vpdata.shards.index import to_parquet
from vpdata.shards.manifest import INDEX_NAME, MANIFEST_NAME, FileInfo, ShardInfo
from vpdata.shards.tar import write_shard

RECORDING = Path("tests/recordings/libero")
REPO = "user/many"
KINDS = ("api", "lfs", "storage", "resolve", "cdn")


def make(folder: Path, *, num_shards: int) -> None:
    """Makes the data set, unless it is there."""
    if (folder / MANIFEST_NAME).is_file() and len(Dataset.open(folder).manifest.shards) == num_shards:
        return
    shutil.rmtree(folder, ignore_errors=True)
    small = folder.with_name("small")
    ingest("libero", [RECORDING], small, IngestOptions(clip_starts=4, window_span=4), workers=2)
    dataset = Dataset.open(small)
    model, contents = dataset.clips[0], dataset.read_clip(0)
    folder.mkdir()

    def shard(number: int) -> tuple[Clip, ShardInfo]:
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        episode = replace(model.episode, content_digest=digest, attributes={"licence": "mit"})
        key, name = f"clip-{number:05d}", f"shard-{number:05d}.tar"
        version = dataset.manifest.tool_version
        data = provenance(episode, model.span, codec=model.codec, tool_version=version)
        written = write_shard(folder / name, [(key, {**contents, PROVENANCE: data})])
        clip = replace(model, key=key, shard=name, episode=episode, members=written.members[0])
        return clip, ShardInfo(
            name=name, size=written.size, sha256=written.sha256, num_clips=1, num_frames=clip.num_frames
        )

    with ThreadPoolExecutor(4) as pool:
        clips, shards = zip(*pool.map(shard, range(num_shards)), strict=True)
    index = to_parquet(clips)
    write_whole(folder / INDEX_NAME, index)
    manifest = replace(
        dataset.manifest,
        shards=shards,
        index=FileInfo(name=INDEX_NAME, size=len(index), sha256=hashlib.sha256(index).hexdigest()),
        num_episodes=num_shards,
        num_clips=num_shards,
        num_frames=num_shards * model.num_frames,
        num_labelled_clips=num_shards,
    )
    write_whole(folder / MANIFEST_NAME, manifest.to_bytes())


def measure(folder: Path, work: Path) -> Iterator[dict[str, object]]:
    """One row a run."""
    out = work / "pulled"
    shutil.rmtree(out, ignore_errors=True)
    commands = {
        "publish": ["publish", str(folder), "--repo-id", REPO],
        "publish again": ["publish", str(folder), "--repo-id", REPO],
        "pull": ["pull", f"hf://datasets/{REPO}", "--out", str(out)],
    }
    with serving() as hub:
        for name, command in commands.items():
            hub.requests.clear()
            before = len(hub.history(REPO)) if hub.repos else 1
            seconds = _run(hub, command, work)
            asked = Counter(request.kind for request in hub.requests)
            row: dict[str, object] = {"what": name, "seconds": round(seconds, 1)}
            yield {**row, "commits": len(hub.history(REPO)) - before, **{kind: asked[kind] for kind in KINDS}}
        files = hub.files(REPO)
    for path in folder.iterdir():
        if not files[path.name] == path.read_bytes() == (out / path.name).read_bytes():
            raise SystemExit(f"{path.name} is not what was published or pulled")


def _run(hub: Hub, command: list[str], work: Path) -> float:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(work / "hf_home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vpdata", *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=9995)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    folder = arguments.work / "set"
    make(folder, num_shards=arguments.shards)
    rows = list(measure(folder, arguments.work))
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    header = list(rows[0])
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row.values()) + " |")


if __name__ == "__main__":
    main()
