"""The cache under limits, kills, full disks, and several processes at once."""

import fcntl
import multiprocessing
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from http_server import Fault, Server
from test_remote import everything, open_remote

from vpdata.errors import ShardError, VpdataError
from vpdata.shards.cache import Cache, block_name, file_name, parse_size
from vpdata.shards.dataset import Dataset

FORK = multiprocessing.get_context("fork")


def forked(work: Callable[..., object], *arguments: object) -> BaseProcess:
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def name_of(number: int) -> str:
    return block_name(f"{number:064x}", 0, 100)


def test_the_least_recently_read_leave_first(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, limit=1000)
    for number in range(10):
        cache.put(name_of(number), bytes(100))
        os.utime(tmp_path / name_of(number), (number, number))
    assert cache.read(name_of(0), 0, 3) == bytes(3)  # and so the youngest
    cache.put(name_of(10), bytes(100))
    assert [number for number in range(11) if cache.has(name_of(number))] == [0, 3, 4, 5, 6, 7, 8, 9, 10]
    assert cache.usage().num_bytes == 900


def test_manifests_outlive_blocks(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, limit=1000)
    cache.put(file_name("a"), bytes(100))
    os.utime(tmp_path / file_name("a"), (0, 0))
    for number in range(20):
        cache.put(name_of(number), bytes(100))
    assert cache.has(file_name("a"))
    cache.prune(0)
    assert cache.usage().num_entries == 0


def test_more_than_the_limit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="101 bytes do not fit into the cache, whose limit is 100"):
        Cache(folder=tmp_path, limit=100).put(file_name("a"), bytes(101))
    assert list((tmp_path / "files").iterdir()) == []


def test_what_fetch_raises_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, limit=1000)

    def fetch() -> bytes:
        raise ShardError("no.")

    with pytest.raises(ShardError, match="no"):
        cache.fill(name_of(0), 100, fetch)
    assert list((tmp_path / "blocks").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size"), [("12", 12), ("2K", 2000), ("1.5g", 15 * 10**8), ("0", 0), ("2T", 2 * 10**12)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "nan", "infG", "1 apple", "5GB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(VpdataError, match="is not a size"):
        parse_size(text)


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VPDATA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("VPDATA_CACHE_LIMIT", "3K")
    assert Cache.default() == Cache(folder=tmp_path / "vpdata", limit=3000)
    monkeypatch.delenv("VPDATA_CACHE_LIMIT")
    disk = os.statvfs(tmp_path)
    assert Cache.default().limit == disk.f_blocks * disk.f_frsize // 10


def test_who_asks_for_the_same_block_at_once_downloads_it_once(
    server: Server, local: Dataset, cache_folder: Path
) -> None:
    server.fault = lambda request, _: Fault(slow=0.05) if request.range else None
    remote = open_remote(f"{server.url}/robocasa", cache_folder)
    expected = everything(local)

    def read_all() -> None:
        assert everything(remote) == expected

    processes = [forked(read_all) for _ in range(2)]
    threads = [threading.Thread(target=read_all) for _ in range(2)]
    for worker in (*threads,):
        worker.start()
    for worker in (*threads, *processes):
        worker.join()
    assert [process.exitcode for process in processes] == [0, 0]
    ranges = [(request.path, request.range) for request in server.requests if request.range]
    assert len(ranges) == len(set(ranges)) > 10


def test_two_processes_in_a_cache_that_is_too_small_for_the_set(
    server: Server, local: Dataset, cache_folder: Path
) -> None:
    limit = 200_000
    assert sum(shard.size for shard in local.manifest.shards) > 4 * limit
    url, expected = f"{server.url}/robocasa", everything(local)

    def read_all(seed: int) -> None:
        remote = open_remote(url, cache_folder, limit=limit)
        clips = list(remote.clips)
        random.Random(seed).shuffle(clips)
        for clip in clips:
            for member in clip.members:
                assert remote.read(clip, member.name) == local.read(clip, member.name)

    processes = [forked(read_all, seed) for seed in range(2)]
    most = 0
    while any(process.is_alive() for process in processes):
        entries = [*cache_folder.glob("blocks/*"), *cache_folder.glob("files/*")]
        most = max(most, sum(sizes_of(entries)))
        time.sleep(0.002)
    assert [process.exitcode for process in processes] == [0, 0]
    assert limit // 2 < most <= limit * 1.5  # blocks of 2 downloads, and what came while we looked
    usage = Cache(folder=cache_folder, limit=limit).usage()
    assert usage.num_bytes <= limit
    assert usage.num_partial == 0
    ranges = [request for request in server.requests if request.range]
    assert len(ranges) > len({(request.path, request.range) for request in ranges})  # some had to come again
    assert everything(open_remote(url, cache_folder)) == expected


def sizes_of(entries: list[Path]) -> list[int]:
    sizes = []
    for entry in entries:
        try:
            sizes.append(entry.stat().st_size)
        except FileNotFoundError:
            continue
    return sizes


def test_random_kills_in_the_middle_of_transfers(server: Server, local: Dataset, cache_folder: Path) -> None:
    url, expected = f"{server.url}/robocasa", everything(local)
    digest = open_remote(url, cache_folder).digest
    server.fault = lambda request, _: Fault(slow=0.03) if request.range else None
    draw = random.Random(0)
    cut = 0
    for _ in range(20):
        process = forked(lambda: everything(open_remote(url, cache_folder, digest=digest)))
        before = len(server.requests)
        while len(server.requests) == before and process.is_alive():
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.06))
        process.kill()
        process.join()
        cut += any(cache_folder.glob("blocks/*.partial"))
        Cache(folder=cache_folder, limit=10**9).prune(10**9)
        assert not any(cache_folder.glob("blocks/*.partial"))
        for block in cache_folder.glob("blocks/*"):
            assert_right(block, local)
    assert cut >= 5
    server.fault = lambda *_: None
    assert everything(open_remote(url, cache_folder)) == expected


def assert_right(block: Path, local: Dataset) -> None:
    sha256, start, stop = block.name.split("-")
    shard = next(shard for shard in local.manifest.shards if shard.sha256 == sha256)
    assert block.read_bytes() == (local.path / shard.name).read_bytes()[int(start) : int(stop)]


def test_nobody_waits_for_the_dead(server: Server, local: Dataset, cache_folder: Path) -> None:
    remote = open_remote(f"{server.url}/robocasa", cache_folder)
    clip = remote.clips[0]
    server.fault = lambda _, before: Fault(stall=600) if before == 0 else None
    children = FORK.SimpleQueue()

    def download_and_fork() -> None:
        threading.Thread(target=remote.read, args=(clip, "json"), daemon=True).start()
        until(lambda: any(cache_folder.glob("blocks/*.partial")))
        child = os.fork()
        if child:
            children.put(child)
        time.sleep(600)  # the child outlives its parent, and had a copy of the lock

    process = forked(download_and_fork)
    child = children.get()
    until(lambda: bool(server.asked(clip.shard)))
    process.kill()
    process.join()
    assert any(cache_folder.glob("blocks/*.partial"))
    try:
        assert remote.read(clip, "json") == local.read(clip, "json")
    finally:
        os.kill(child, signal.SIGKILL)
    assert not any(cache_folder.glob("blocks/*.partial"))


def test_downloads_under_way_are_not_swept(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, limit=1000)
    (tmp_path / "blocks").mkdir()
    living, dead = tmp_path / "blocks" / "living.partial", tmp_path / "blocks" / "dead.partial"
    dead.write_bytes(bytes(10))
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        cache.prune(0)
        assert living.exists()
        assert not dead.exists()
    cache.prune(0)
    assert not living.exists()


def test_a_full_disk(server: Server, local: Dataset, cache_folder: Path) -> None:
    remote = open_remote(f"{server.url}/robocasa", cache_folder)
    clip = remote.clips[0]
    remote.manifest, remote.index  # noqa: B018

    def read_on_a_full_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with pytest.raises(ShardError, match=r"cannot be written \(File too large\).*VPDATA_CACHE"):
            remote.read(clip, "json")

    process = forked(read_on_a_full_disk)
    process.join()
    assert process.exitcode == 0
    assert list((cache_folder / "blocks").iterdir()) == []
    assert remote.read(clip, "json") == local.read(clip, "json")


def test_a_cache_that_may_not_be_written(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VPDATA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ShardError, match=r"cannot be written \(Not a directory\).*VPDATA_CACHE"):
        Dataset.open(f"{server.url}/robocasa")
