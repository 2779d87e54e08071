"""Remote data sets, read from a real server on loopback, against the same data set in a folder."""

import hashlib
import itertools
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from http_server import COMMIT, Fault, Server, serving

from vpdata.errors import DamageError, ShardError
from vpdata.mixture.mixture import Mixture
from vpdata.shards.cache import Cache
from vpdata.shards.dataset import Dataset
from vpdata.shards.remote import DOWNLOADS, RemoteStore
from vpdata.shards.transfer import Patience

BLOCK_BYTES = 30_000
PATIENT = Patience(first_seconds=0.02, total_seconds=60, stall_seconds=20)


def open_remote(
    url: str, folder: Path, *, limit: int = 10**9, digest: str | None = None, patience: Patience = PATIENT
) -> Dataset:
    """A remote data set with small blocks."""
    cache = Cache(folder=folder, limit=limit)
    store = RemoteStore(url, digest=digest, cache=cache, patience=patience, block_bytes=BLOCK_BYTES)
    digest = hashlib.sha256(store.read_file("manifest.json")).hexdigest()
    return Dataset(store=store, digest=digest)


def everything(dataset: Dataset) -> dict[str, str]:
    """A hash of every member of every clip."""
    return {
        f"{clip.key}.{member.name}": hashlib.sha256(dataset.read(clip, member.name)).hexdigest()
        for clip in dataset.clips
        for member in clip.members
    }


def test_every_byte_is_the_folders_and_comes_once(server: Server, local: Dataset, cache_folder: Path) -> None:
    remote = open_remote(f"{server.url}/robocasa", cache_folder)
    assert everything(remote) == everything(local)
    ranges = [request for request in server.requests if request.range]
    assert len({(request.path, request.range) for request in ranges}) == len(ranges)
    for shard in local.manifest.shards:
        asked = sorted(request.range for request in server.asked(shard.name) if request.range)
        assert [start for start, _ in asked] == [0, *(stop for _, stop in asked[:-1])]
        assert asked[-1][1] == shard.size
    assert len(ranges) > len(local.manifest.shards)
    before = len(server.requests)
    assert everything(open_remote(f"{server.url}/robocasa", cache_folder, digest=remote.digest)) == everything(local)
    assert len(server.requests) == before


def test_a_block_is_the_clips_that_begin_in_the_same_bytes(server: Server, local: Dataset, cache_folder: Path) -> None:
    everything(open_remote(f"{server.url}/robocasa", cache_folder))
    for shard in local.manifest.shards:
        clip_ends = local.index.layout(shard.name).clip_ends.tolist()
        cells: dict[int, list[int]] = {}
        for start, stop in itertools.pairwise([0, *clip_ends[:-1], shard.size]):
            cells.setdefault(start // BLOCK_BYTES, []).extend((start, stop))
        asked = [request.range for request in server.asked(shard.name)]
        assert sorted(filter(None, asked)) == [(min(cell), max(cell)) for cell in cells.values()]


def test_a_mixture_names_the_url_and_needs_no_network_for_what_the_cache_has(
    server: Server, mixture_file: Path
) -> None:
    assert f'path = "{server.url}/robocasa"' in mixture_file.read_text()
    mixture = Mixture.open(mixture_file)
    expected = everything(mixture.datasets[0])
    asked = len(server.requests)
    server.fault = lambda *_: Fault(status=503)
    assert everything(Mixture.open(mixture_file).datasets[0]) == expected
    assert len(server.requests) == asked


def test_a_changed_data_set_is_not_taken_for_the_one_that_the_mixture_names(
    mixture_file: Path, cache_folder: Path, published: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "robocasa"
    other.mkdir(parents=True)
    for file in (published / "robocasa").iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    manifest = other / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with serving(other.parent) as changed:
        text = mixture_file.read_text()
        url = text.partition('path = "')[2].partition("/robocasa")[0]
        mixture_file.write_text(text.replace(url, changed.url))
        for entry in (cache_folder / "files").iterdir():
            entry.unlink()
        with pytest.raises(Exception, match="has changed: its digest is"):
            Mixture.open(mixture_file)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429),
        Fault(status=500),
        Fault(status=503, retry_after="0"),
        Fault(status=504),
        Fault(short=1000),
        Fault(reset=1000),
        Fault(reset=0),
        Fault(stall=1000),
        Fault(flip=600),
    ],
    ids=str,
)
def test_faults_pass(server: Server, local: Dataset, cache_folder: Path, fault: Fault) -> None:
    server.fault = lambda request, before: fault if before == 0 and request.range else None
    patience = replace(PATIENT, stall_seconds=1 if fault.stall else 20)
    remote = open_remote(f"{server.url}/robocasa", cache_folder, patience=patience)
    for place in (0, -1):
        clip = remote.clips[place]
        for member in clip.members:
            assert remote.read(clip, member.name) == local.read(clip, member.name)
    assert len([r for r in server.requests if r.range]) == 4


def test_faults_of_the_manifest_and_the_index_pass(server: Server, local: Dataset, cache_folder: Path) -> None:
    server.fault = lambda _, before: [Fault(status=503), Fault(short=99), None][min(before, 2)]
    remote = open_remote(f"{server.url}/robocasa", cache_folder)
    assert len(remote.index) == len(local.index)
    server.fault = lambda request, before: Fault(flip=5) if before == 0 and "index" in request.path else None
    server.requests.clear()
    (cache_folder / "files" / local.manifest.index.sha256).unlink()
    assert len(open_remote(f"{server.url}/robocasa", cache_folder).index) == len(local.index)
    assert len(server.asked("index.parquet")) == 2


@pytest.mark.parametrize(
    ("fault", "says", "hint"),
    [
        (Fault(status=503), "answered 503 (Service Unavailable), ", "Check the network"),
        (
            Fault(status=429, retry_after="3600"),
            "answered 429 (Too Many Requests) and asks to wait 3600 s",
            "run again",
        ),
        (Fault(status=403), "answered 403 (Forbidden)", "netrc"),
        (Fault(status=404), "no such file (404)", "Check the URL"),
        (Fault(status=416), "answered 416", "publish it again"),
        (Fault(whole=True), "ignores `Range`", "supports ranges"),
        (Fault(short=10), "the network failed", "Check the network"),
        (Fault(stall=10), "the network failed", "Check the network"),
        (Fault(reset=0), "the network failed", "Check the network"),
    ],
    ids=str,
)
def test_faults_that_stay_are_errors_that_say_where_and_what_next(
    server: Server, cache_folder: Path, fault: Fault, says: str, hint: str
) -> None:
    patience = replace(PATIENT, total_seconds=0.2, stall_seconds=1)
    remote = open_remote(f"{server.url}/robocasa", cache_folder, patience=patience)
    clip = remote.clips[0]
    server.fault = lambda *_: fault
    with pytest.raises(ShardError) as caught:
        remote.read(clip, "json")
    assert caught.value.path == f"{server.url}/robocasa/{clip.shard}"
    assert says in caught.value.what
    assert hint in str(caught.value)
    assert not isinstance(caught.value, DamageError)
    server.fault = lambda *_: None
    assert remote.read(clip, "json")


def test_bytes_that_stay_wrong_are_damage_and_never_enter_the_cache(server: Server, cache_folder: Path) -> None:
    remote = open_remote(f"{server.url}/robocasa", cache_folder)
    clip = remote.clips[0]
    member = clip.members[0]
    server.fault = lambda request, _: Fault(flip=member.offset) if request.range else None
    with pytest.raises(DamageError, match=f"byte {member.offset} is damaged .* in {DOWNLOADS} downloads"):
        remote.read(clip, member.name)
    assert len(server.asked(clip.shard)) == DOWNLOADS
    assert list((cache_folder / "blocks").iterdir()) == []


def test_damage_on_this_disk_is_fetched_again(server: Server, cache_folder: Path) -> None:
    remote = open_remote(f"{server.url}/robocasa", cache_folder)
    expected = everything(remote)
    for number, block in enumerate(sorted((cache_folder / "blocks").iterdir())):
        data = bytearray(block.read_bytes())
        data[len(data) // 2] ^= 1
        block.write_bytes(data if number % 2 else data[: len(data) // 2])
    assert everything(remote) == expected


def test_no_server_is_an_error_and_what_was_fetched_still_works(
    published: Path, local: Dataset, cache_folder: Path
) -> None:
    with serving(published) as server:
        url = f"{server.url}/robocasa"
        expected = everything(open_remote(url, cache_folder))
    with pytest.raises(ShardError, match=r"manifest.json: the network failed \(Cannot connect") as caught:
        open_remote(url, cache_folder, patience=replace(PATIENT, total_seconds=0.2))
    assert "what has arrived is kept" in str(caught.value)
    assert everything(open_remote(url, cache_folder, digest=local.digest)) == expected


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://user:secret@host/data", "user name or password"),
        ("https://host/data?token=secret", "without `?`"),
        ("nonsense://host/data", "fsspec knows no protocol nonsense://"),
        ("hf://user/name", "no data set of the Hub"),
    ],
)
def test_urls_that_cannot_be(url: str, says: str) -> None:
    with pytest.raises(ShardError) as caught:
        Dataset.open(url)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_folder_without_a_data_set(server: Server) -> None:
    with pytest.raises(ShardError, match=r"nothing/manifest.json: there is no such file"):
        Dataset.open(f"{server.url}/nothing")


def test_other_protocols(published: Path, local: Dataset, cache_folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in (published / "robocasa").iterdir():
        memory.pipe(f"/set/{file.name}", file.read_bytes())
    expected = everything(local)
    assert everything(open_remote("memory://set", cache_folder)) == expected
    before = sorted((cache_folder / "blocks").iterdir())
    assert everything(open_remote(f"file://{published}/robocasa", cache_folder)) == expected
    assert sorted((cache_folder / "blocks").iterdir()) == before  # equal content, whatever its URL


def _reads_the_same(dataset: Dataset, expected: dict[str, str]) -> None:
    if everything(dataset) != expected:
        os._exit(3)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_get_along_with_their_own_connections(
    server: Server, local: Dataset, cache_folder: Path, method: str
) -> None:
    remote = Dataset.open(f"{server.url}/robocasa")
    remote.read(remote.clips[0], "json")
    for entry in (cache_folder / "blocks").iterdir():
        entry.unlink()
    expected = everything(local)
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=_reads_the_same, args=(remote, expected)) for _ in range(2)]  # type: ignore[attr-defined]
    for process in processes:
        process.start()
    assert everything(remote) == expected  # the parent's connections live on
    for process in processes:
        process.join()
        assert process.exitcode == 0


HUB_SCRIPT = """
import sys
from vpdata.shards.dataset import Dataset
digest, *urls = sys.argv[1:]
for url in urls:
    dataset = Dataset.open(url, digest=digest or None)
    print(dataset.place, dataset.digest, len(dataset.read(dataset.clips[0], "json")))
"""


def _on_the_hub(server: Server, *urls: str, digest: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_TOKEN": "hf_geheim", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", HUB_SCRIPT, digest, *urls]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_hub_is_read_at_one_commit(server: Server, local: Dataset) -> None:
    pinned = f"hf://datasets/user/name@{COMMIT}/robocasa"
    urls = [f"hf://datasets/user/name{revision}/robocasa" for revision in ("", "@main", "@refs%2Fpr%2F1")]
    result = _on_the_hub(server, *urls, pinned)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [[pinned, local.digest]] * 4, result.stderr
    looked_up = [request.path for request in server.requests if request.path.startswith("/api/")]
    of_the_set = "/api/datasets/user/name"
    assert looked_up == [of_the_set, f"{of_the_set}/revision/main", f"{of_the_set}/revision/refs%2Fpr%2F1"]
    files = [request for request in server.requests if request.path not in looked_up]
    assert all(request.path.startswith(f"/datasets/user/name/resolve/{COMMIT}/robocasa/") for request in files)
    assert all(request.headers["Authorization"] == "Bearer hf_geheim" for request in files)
    asked = len(server.requests)
    again = _on_the_hub(server, pinned, digest=local.digest)
    assert [line.split() for line in again.stdout.splitlines()] == lines[:1]
    assert len(server.requests) == asked


def test_the_hub_refuses_without_showing_the_token(server: Server) -> None:
    server.fault = lambda request, _: Fault(status=401) if "resolve" in request.path else None
    result = _on_the_hub(server, "hf://datasets/user/name/robocasa")
    assert result.returncode == 1
    assert "answered 401 (Unauthorized). Log in with `hf auth login`, or set HF_TOKEN." in result.stderr
    server.fault = lambda *_: Fault(status=404)
    absent = _on_the_hub(server, "hf://datasets/user/name/robocasa")
    assert "the revision cannot be looked up" in absent.stderr
    assert "geheim" not in result.stderr + absent.stderr
