"""Whole ingests of real recordings: determinism, resumption after kills, refusals, and what is left behind."""

import fcntl
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from vpdata.errors import ShardError, SourceError, VpdataError
from vpdata.ingest import IngestOptions, ingest, make_plan
from vpdata.shards.dataset import Dataset
from vpdata.shards.staging import Staging
from vpdata.shards.validate import validate

CLOSE = "v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
OPTIONS = IngestOptions(clip_starts=40, window_span=32, shard_frames=800)
ARGUMENTS = ["--clip-starts", "40", "--window-span", "32", "--shard-frames", "800", "--workers", "2"]


@pytest.fixture(scope="module")
def robocasa(recordings: Path) -> Path:
    return recordings / "robocasa"


@pytest.fixture(scope="module")
def reference(robocasa: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed ingest with OPTIONS makes."""
    out = tmp_path_factory.mktemp("reference") / "out"
    ingest("robocasa", [robocasa], out, OPTIONS, workers=2)
    files = contents(out)
    assert len(files) >= 5  # several shards
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(source: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "vpdata", "ingest", "robocasa", str(source), "--out", str(out), *ARGUMENTS, *more]


def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_bytes_do_not_depend_on_workers_or_place(
    workers: int, robocasa: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    elsewhere = Path(shutil.copytree(robocasa, tmp_path / "moved" / "recordings"))
    seen: list[int] = []
    ingest("robocasa", [elsewhere], tmp_path / "out", OPTIONS, workers=workers, progress=seen.append)
    assert contents(tmp_path / "out") == reference
    assert sum(seen) == make_plan("robocasa", [robocasa], OPTIONS).camera_frames


def test_a_second_run_encodes_nothing(robocasa: Path, tmp_path: Path) -> None:
    manifest = ingest("robocasa", [robocasa], tmp_path / "out", OPTIONS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    seen: list[int] = []
    assert ingest("robocasa", [robocasa], tmp_path / "out", OPTIONS, progress=seen.append) == manifest
    assert seen == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    shard = tmp_path / "out" / manifest.shards[0].name
    os.truncate(shard, 100)
    with pytest.raises(ShardError, match="missing or cut off"):
        ingest("robocasa", [robocasa], tmp_path / "out", OPTIONS)


def assert_only_whole_files(out: Path, reference: dict[str, bytes]) -> None:
    """At any moment, what stands under a final name is what belongs there."""
    for path in out.glob("*"):
        if path.is_file():
            assert path.read_bytes() == reference[path.name], path.name
    if (out / "manifest.json").exists():
        assert {path.name for path in out.iterdir()} - {".ingest"} == set(reference)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_and_run_again(seed: int, robocasa: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    rng = random.Random(seed)
    out = tmp_path / "out"
    reused = 0
    for _ in range(3):
        process = subprocess.Popen(command(robocasa, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, 1.8))
        process.kill()
        process.wait()
        if out.exists():
            assert_only_whole_files(out, reference)
    finished = {path: path.stat().st_ino for path in (out / ".ingest").glob("*.tar")} if out.exists() else {}
    journaled = [path for path in finished if path.with_name(path.name + ".json").exists()]
    assert run(command(robocasa, out)).returncode == 0
    assert contents(out) == reference
    for path in journaled:
        assert (out / path.name).stat().st_ino == finished[path]  # moved, not made again
        reused += 1
    assert reused == len(journaled)


KILL_AT = """
import os, signal, sys
remaining = int(sys.argv[1])
def hook(event, args):
    global remaining
    if event in ("os.rename", "shutil.rmtree"):
        remaining -= 1
        if remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = ["vpdata", *sys.argv[2:]]
from vpdata.cli.app import main
main()
"""


def test_killed_at_every_step_of_the_publication(robocasa: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    final_files = []
    for step in range(1, 20):
        out = staged if step == 1 else Path(shutil.copytree(staged, tmp_path / "out"))
        done = run([sys.executable, "-c", KILL_AT, str(step), *command(robocasa, out)[3:]])
        assert_only_whole_files(out, reference)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        final_files.append(len([path for path in out.iterdir() if path.is_file()]))
        if out != staged:
            ingest("robocasa", [robocasa], out, OPTIONS)
            assert contents(out) == reference
            shutil.rmtree(out)
    # the index and the manifest are written, then everything moves, one by one, and at last the staging folder goes
    assert final_files == [0, 0, *range(len(reference)), len(reference)]


def test_workers_end_with_their_parent(robocasa: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(robocasa, tmp_path / "out"), stdout=subprocess.DEVNULL)
    workers = wait_for_workers(process)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def is_worker(child: psutil.Process) -> bool:
    try:
        return any("spawn_main" in part for part in child.cmdline())
    except psutil.NoSuchProcess:  # over meanwhile, as what imports call
        return False


def wait_for_workers(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = psutil.Process(process.pid).children()
        workers = [child for child in children if is_worker(child)]
        if workers:
            return workers
        time.sleep(0.01)
    raise AssertionError("no worker was started")


def test_a_killed_worker_is_told_and_resumed(robocasa: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(command(robocasa, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_workers(process)[0].kill()
    _, messages = process.communicate()
    assert process.returncode == 1
    assert "a worker process was killed (signal 9), most likely because memory ran out." in messages
    assert "Use fewer --workers." in messages
    assert not (out / "manifest.json").exists()
    assert run(command(robocasa, out)).returncode == 0
    assert contents(out) == reference


def test_a_worker_killed_before_its_task_arrives(robocasa: Path, tmp_path: Path) -> None:
    """The pipe is broken when the task is sent, which click would take for a closed stdout and end without a word."""
    kill_new_workers = """
import sys
from multiprocessing.context import SpawnProcess
start = SpawnProcess.start
def start_and_die(process):
    start(process)
    process.kill()
    process.join()
SpawnProcess.start = start_and_die
sys.argv = ["vpdata", *sys.argv[1:]]
from vpdata.cli.app import main
main()
"""
    done = run([sys.executable, "-c", kill_new_workers, *command(robocasa, tmp_path / "out")[3:]])
    assert done.returncode == 1
    assert "a worker process was killed (signal 9)" in done.stderr


def test_interrupted_by_the_keyboard(robocasa: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(robocasa, out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    while not list(out.glob(".ingest/*.partial")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert not list(out.glob("*.tar"))
    assert run(command(robocasa, out)).returncode == 0
    assert contents(out) == reference


def test_a_file_too_large_for_the_disk(robocasa: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE fails a write for real, as a full disk or quota would."""
    out = tmp_path / "out"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = subprocess.run(command(robocasa, out), capture_output=True, text=True, preexec_fn=limit, check=False)
    assert done.returncode == 1
    assert "cannot write (File too large)" in done.stderr
    assert "MB are free. Make room." in done.stderr
    assert not out.exists()


def test_a_disk_that_is_full_when_the_index_is_written(
    robocasa: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    fill_up = """
import resource, sys
def hook(event, args):
    if event == "open" and str(args[0]).endswith("index.parquet.partial"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
sys.addaudithook(hook)
sys.argv = ["vpdata", *sys.argv[1:]]
from vpdata.cli.app import main
main()
"""
    out = tmp_path / "out"
    done = run([sys.executable, "-c", fill_up, *command(robocasa, out)[3:]])
    assert done.returncode == 1
    assert "cannot write (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in out.iterdir()] == [".ingest"]
    assert not list(out.rglob("*.partial"))
    assert run(command(robocasa, out)).returncode == 0
    assert contents(out) == reference


def test_an_ingest_waits_for_the_workers_of_a_killed_one(
    robocasa: Path, reference: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    (out / ".ingest").mkdir(parents=True)
    with Staging(out).working():
        monkeypatch.setattr("vpdata.shards.staging.ORPHAN_SECONDS", 0.1)
        with pytest.raises(VpdataError, match="workers of an ingest that was killed are still writing"):
            ingest("robocasa", [robocasa], out, OPTIONS)
    ingest("robocasa", [robocasa], out, OPTIONS)
    assert contents(out) == reference


def test_two_ingests_into_one_folder(robocasa: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".ingest").mkdir(parents=True)
    with (out / ".ingest" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(VpdataError, match="another command is writing to this folder"):
            ingest("robocasa", [robocasa], out, OPTIONS)
    ingest("robocasa", [robocasa], out, OPTIONS)  # the lock file is still there, its owner is gone
    assert contents(out) == reference


def test_a_folder_with_anything_else_is_refused(robocasa: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ShardError, match="is a file"):
        ingest("robocasa", [robocasa], file, OPTIONS)
    with pytest.raises(ShardError, match=r"holds other files \(file\)"):
        ingest("robocasa", [robocasa], tmp_path, OPTIONS)
    out = tmp_path / "out"
    out.mkdir()
    for name, data in reference.items():
        (out / name).write_bytes(data)
    with pytest.raises(ShardError, match="made from other recordings or options"):
        ingest("robocasa", [robocasa], out, IngestOptions(clip_starts=41))
    assert contents(out) == reference


def test_the_same_recording_twice(robocasa: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice"
    for name in ("first", "second"):
        (twice / name).mkdir(parents=True)
        shutil.copy(robocasa / CLOSE, twice / name / "demo.hdf5")
    with pytest.raises(SourceError, match=r"second/demo\.hdf5, demo_0: duplicate of first/demo\.hdf5, demo_0"):
        ingest("robocasa", [twice], tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()
    manifest = ingest("robocasa", [twice], tmp_path / "out", OPTIONS, on_error="skip")
    assert [(s.file, s.episode) for s in manifest.skipped] == [("second/demo.hdf5", f"demo_{n}") for n in range(3)]
    assert "duplicate of first/demo.hdf5, demo_0" in manifest.skipped[0].reason
    assert (manifest.num_episodes, validate(tmp_path / "out").problems) == (3, ())


@pytest.fixture
def damaged(robocasa: Path, tmp_path: Path) -> Path:
    """Three demos, of which the images of the second do not decompress beyond their first bytes."""
    path = tmp_path / "recordings" / "demo.hdf5"
    path.parent.mkdir()
    shutil.copy(robocasa / CLOSE, path)
    with h5py.File(path) as file:
        images = file["data/demo_1/obs/robot0_agentview_left_image"]
        places = [images.id.get_chunk_info(number) for number in range(images.id.get_num_chunks())]
    place = places[-1]
    with path.open("r+b") as raw:
        raw.seek(place.byte_offset + place.size // 2)
        raw.write(np.random.default_rng(0).bytes(place.size // 2))
    return path


def test_an_episode_that_fails_while_encoding(damaged: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SourceError, match=r"demo_1"):
        ingest("robocasa", [damaged.parent], out, OPTIONS, workers=1)
    assert not list(out.glob("shard*"))
    skipping = ingest("robocasa", [damaged.parent], out, OPTIONS, on_error="skip", workers=2)
    assert [(s.file, s.episode) for s in skipping.skipped] == [("demo.hdf5", "demo_1")]
    assert {clip.episode.episode_id for clip in Dataset.open(out).clips} == {"demo_0", "demo_2"}
    assert validate(out, decode=True).problems == ()
    again = ingest("robocasa", [damaged.parent], tmp_path / "again", OPTIONS, on_error="skip", workers=1)
    assert contents(tmp_path / "again") == contents(out)
    assert ingest("robocasa", [damaged.parent], out, OPTIONS, on_error="skip") == again
    with pytest.raises(ShardError, match="finished but left out 1 recordings"):
        ingest("robocasa", [damaged.parent], out, OPTIONS)


def test_nothing_left_is_an_error(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Nothing is left to ingest"):
        ingest("video", [recordings / "video_broken"], tmp_path / "out", IngestOptions(), on_error="skip")
    assert not (tmp_path / "out").exists()


def test_shards_fill_up_to_the_budget(robocasa: Path) -> None:
    plan = make_plan("robocasa", [robocasa], OPTIONS)
    assert [shard.name for shard in plan.shards] == [f"shard-{n:05d}.tar" for n in range(len(plan.shards))]
    for shard, following in zip(plan.shards, plan.shards[1:], strict=False):
        assert shard.camera_frames <= OPTIONS.shard_frames < shard.camera_frames + following.clips[0].camera_frames
    keys = [clip.key for shard in plan.shards for clip in shard.clips]
    assert len(set(keys)) == len(keys) == plan.num_clips
