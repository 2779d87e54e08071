"""SIGKILL at 20 random points of an ingest, each followed by a run to the end."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vpdata.clips.encode import ClipOptions
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.staging import STAGING, Staging

NUM_KILLS = 20
WORKERS = 2
OPTIONS = IngestOptions(clip=ClipOptions(height=64, width=64), clip_starts=20, window_span=8, shard_frames=90)
ARGUMENTS = ["--size", "64", "--clip-starts", "20", "--window-span", "8", "--shard-frames", "90"]


@pytest.fixture(scope="module")
def drawer(recordings: Path) -> Path:
    return recordings / "robocasa/v0.1/single_stage/kitchen_drawer/OpenDrawer"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(drawer: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vpdata", "ingest", "robocasa", str(drawer), "--out", str(out), *ARGUMENTS]
    return subprocess.Popen([*command, "--workers", str(WORKERS)], stdout=subprocess.DEVNULL)


def test_killed_at_twenty_random_points(drawer: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    assert start(drawer, tmp_path / "reference").wait() == 0
    seconds = time.monotonic() - began
    reference = contents(tmp_path / "reference")
    num_shards = sum(name.endswith(".tar") for name in reference)
    assert num_shards > 2 * WORKERS
    rng = random.Random(20)
    for number in range(NUM_KILLS):
        out = tmp_path / f"out-{number}"
        process = start(drawer, out)
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        process.kill()
        process.wait()
        finished: dict[str, int] = {}
        if (out / STAGING).is_dir():
            Staging(out).wait_for_orphans()
            staged = {path.name: path for path in (out / STAGING).iterdir()}
            tars = [path for name, path in staged.items() if name.endswith(".tar")]
            moved = list(out.glob("*.tar"))
            finished = {p.name: p.stat().st_ino for p in (*tars, *moved) if f"{p.name}.json" in staged}
            files = [name for name in staged if name.startswith("shard-") and not name.endswith((".json", ".joining"))]
            begun = [name for name in files if f"{name}.json" not in staged]
            assert len(begun) <= WORKERS  # all the work that will be done again
        for path in [path for path in out.glob("*") if path.is_file()]:
            assert path.read_bytes() == reference[path.name], path.name  # nothing partial under a final name
        ingest("robocasa", [drawer], out, OPTIONS, workers=WORKERS)
        assert contents(out) == reference
        for name, inode in finished.items():
            assert (out / name).stat().st_ino == inode  # moved, not made again
