"""A data set on the Hub: what arrives, what is sent again, what is to be seen meanwhile, and what is refused."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.hub.conftest import LICENCE, REPO, contents, published, seen, whole
from tests.hub.server import Fault, Hub, Request
from vpdata.cli.app import app
from vpdata.errors import HubError, ShardError
from vpdata.hub import api, plan
from vpdata.hub.api import File, HubFile
from vpdata.hub.plan import Step, steps
from vpdata.hub.publish import MAX_FOLDER_FILES, publish
from vpdata.shards.dataset import Dataset


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_is_published_is_the_folder_bit_for_bit(hub: Hub, kitchen: Path) -> None:
    done = publish(Dataset.open(kitchen), REPO, private=True)
    assert published(hub) == contents(kitchen)
    assert hub.repos[REPO].private
    assert done.url == f"hf://datasets/{REPO}@{hub.head(REPO)}"
    assert done.licence == LICENCE
    files = {path: data for path, data in hub.files(REPO).items() if path != ".gitattributes"}
    assert (done.num_files, done.num_bytes) == (len(files), sum(map(len, files.values())))
    assert seen(hub) == [None, done.digest]


def test_again_sends_nothing_and_a_change_sends_what_changed(hub: Hub, kitchen: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(kitchen)
    publish(dataset, REPO)
    history = hub.history(REPO)
    hub.requests.clear()
    assert publish(dataset, REPO).num_commits == 0
    assert hub.history(REPO) == history
    assert not hub.asked("PUT", "")
    assert not hub.asked("POST", "/commit/")
    smaller = tmp_path / "smaller"
    result = run("delete", kitchen, "--where", "shard == 'shard-00009.tar'", "--out", smaller)
    assert result.exit_code == 0, result.output
    done = publish(Dataset.open(smaller), REPO)
    assert published(hub) == contents(smaller)
    assert done.num_deleted == 1
    assert done.num_files == 5  # index, manifest, card, two pictures: the other shards are the same
    assert seen(hub) == [None, dataset.digest, Dataset.open(smaller).digest]


@pytest.mark.parametrize("swap_files", [1000, 4])
def test_no_half_of_a_new_version_is_ever_seen(
    hub: Hub, kitchen: Path, relabelled: Path, swap_files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "COMMIT_FILES", 3)
    monkeypatch.setattr(plan, "SWAP_FILES", swap_files)
    old, new = Dataset.open(kitchen), Dataset.open(relabelled)
    assert {s.name for s in old.manifest.shards} == {s.name for s in new.manifest.shards}
    publish(old, REPO)
    publish(new, REPO)
    assert published(hub) == contents(relabelled)
    without = [] if swap_files == 1000 else [None]  # too many to swap at once: for a while there is no data set
    assert seen(hub) == [None, old.digest, *without, new.digest]


def test_commits_are_small() -> None:
    files = {f"shard-{i:05d}.tar": File(source=b"", size=i, sha256=f"{i:064x}") for i in range(2500)}
    files["index.parquet"] = files["manifest.json"] = File(source=b"", size=1, sha256="")
    planned = steps(files, {}, visible=())
    assert [len(step.add) for step in planned] == [plan.COMMIT_FILES] * 25 + [2]
    assert planned[-1].is_last
    assert set(planned[-1].add) == {"index.parquet", "manifest.json"}
    there = {path: HubFile(size=file.size + 1, sha256=file.sha256, git_oid="") for path, file in files.items()}
    swap = steps(files, there, visible=set(files))
    assert swap[0] == Step(delete=("manifest.json",))
    assert [len(step.add) for step in swap[1:]] == [len(step.add) for step in planned]
    there = {f"shard-{i:05d}-r0.tar": HubFile(size=1, sha256="", git_oid="") for i in range(150)} | {
        "other.txt": HubFile(size=1, sha256=None, git_oid="")
    }
    assert [len(step.delete) for step in steps({}, there, visible=())] == [100, 50]


def test_files_of_others_stay(hub: Hub, kitchen: Path) -> None:
    hub.create(REPO)
    theirs = {"LICENSE": b"text", "docs/shard-1.tar": b"not ours", "scripts/train.py": b"pass"}
    hub.commit(REPO, {**theirs, "shard-99999.tar": b"stale"})
    publish(Dataset.open(kitchen), REPO)
    files = hub.files(REPO)
    assert theirs.items() <= files.items()
    assert "shard-99999.tar" not in files


def test_a_branch(hub: Hub, kitchen: Path, relabelled: Path) -> None:
    publish(Dataset.open(kitchen), REPO)
    main = hub.head(REPO)
    done = publish(Dataset.open(relabelled), REPO, branch="next/shut")
    assert hub.head(REPO) == main
    assert published(hub, revision="next/shut") == contents(relabelled)
    assert Dataset.open(f"hf://datasets/{REPO}@next%2Fshut").digest == done.digest


def test_a_dry_run_sends_nothing(hub: Hub, kitchen: Path) -> None:
    result = run("publish", kitchen, "--repo-id", REPO, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    would = json.loads(result.stdout)
    assert hub.repos == {}
    done = json.loads(run("publish", kitchen, "--repo-id", REPO, "--json").stdout)
    assert {**would, "url": "", "dry_run": ""} == {**done, "url": "", "dry_run": ""}
    assert "holds all of it already" in run("publish", kitchen, "--repo-id", REPO).output


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("/commit/", Fault(status=429, retry_after="1")),
        ("/commit/", Fault(status=503)),
        ("/commit/", Fault(lost=True)),
        ("/commit/", Fault(reset=0)),
        ("/commit/", Fault(cut=100)),
        ("/repos/create", Fault(status=503)),
        ("/preupload/", Fault(status=503)),
        ("/objects/batch", Fault(lost=True)),
        ("/tree/", Fault(short=50)),
        ("/storage/", Fault(cut=1000)),
        ("/storage/", Fault(lost=True)),
        ("/storage/", Fault(stall=0)),
        ("/commit/", Fault(stall=0)),
        ("/revision/", Fault(stall=0)),
        ("/tree/", Fault(stall=20)),
    ],
    ids=str,
)
def test_faults_pass(hub: Hub, kitchen: Path, kind: str, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "STALL_SECONDS", 0.5 if fault.stall is not None else 60)
    struck: list[Request] = []

    def strike(request: Request, before: int) -> Fault | None:
        if kind not in request.path or before or len(struck) > 2:
            return None
        struck.append(request)
        return fault

    hub.fault = strike
    done = publish(Dataset.open(kitchen), REPO)
    assert struck
    assert published(hub) == contents(kitchen)
    assert seen(hub) == [None, done.digest]


def test_somebody_elses_commit_in_between(hub: Hub, kitchen: Path) -> None:
    def interfere(request: Request, before: int) -> None:
        if "/commit/" in request.path and before == 1:
            hub.commit(REPO, {"theirs.txt": b"here", "shard-00003.tar": b"other bytes"})

    hub.fault = interfere  # type: ignore[assignment]
    publish(Dataset.open(kitchen), REPO)
    assert published(hub) == {**contents(kitchen), "theirs.txt": b"here"}
    assert len(hub.asked("POST", "/commit/")) == 4  # the second is refused; one repairs what they did, and the last


def test_faults_that_stay(hub: Hub, kitchen: Path) -> None:
    hub.fault = lambda request, _: Fault(status=503) if "/commit/" in request.path else None
    with pytest.raises(HubError, match=r"the Hub answered 503 \(Service Unavailable\).*Run it again later"):
        publish(Dataset.open(kitchen), REPO)
    hub.fault = lambda *_: None
    hub.requests.clear()
    publish(Dataset.open(kitchen), REPO)
    shards = {hashlib.sha256(data).hexdigest() for path, data in contents(kitchen).items() if path.endswith(".tar")}
    assert not [r for r in hub.asked("PUT", "/storage/") if r.path.split("/")[2] in shards]  # they were there already


def test_a_hub_that_keeps_other_bytes_is_found_out(hub: Hub, kitchen: Path) -> None:
    hub.careless = "shard-00002.tar"
    with pytest.raises(HubError, match=r"shard-00002.tar: what was published has other hashes there"):
        publish(Dataset.open(kitchen), REPO)


def test_damage_here_is_not_published(hub: Hub, kitchen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(kitchen, folder)
    shard = folder / "shard-00004.tar"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ShardError, match=r"shard-00004.tar: is damaged .* `vpdata repair`"):
        publish(Dataset.open(folder), REPO)
    assert hashlib.sha256(data).hexdigest() not in hub.objects
    shard.unlink()
    with pytest.raises(ShardError, match=r"shard-00004.tar: the shard is missing"):
        publish(Dataset.open(folder), REPO)
    assert whole(hub, hub.history(REPO)[-1]) is None


def test_no_licence_and_too_many_shards(
    hub: Hub, unlicensed: Path, kitchen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("publish", unlicensed, "--repo-id", REPO)
    assert result.exit_code == 1
    assert "4 of 4 episodes carry no licence" in str(result.exception)
    assert run("publish", unlicensed, "--repo-id", REPO, "--license", "mit", "--dry-run").exit_code == 0
    monkeypatch.setattr("vpdata.hub.publish.MAX_FOLDER_FILES", 14)
    with pytest.raises(HubError, match=r"10 shards are too many for the Hub: a folder holds 14 .*vpdata reshard"):
        publish(Dataset.open(kitchen), REPO)
    assert MAX_FOLDER_FILES == 10_000
    assert hub.repos == {}


@pytest.mark.usefixtures("hub")
def test_who_may_not_write_is_told_what_to_do(kitchen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrong" * 6)
    result = run("publish", kitchen, "--repo-id", REPO)
    assert isinstance(result.exception, HubError)
    assert "the Hub answered 401 (Unauthorized)" in str(result.exception)
    assert "hf auth login" in str(result.exception)
    with pytest.raises(HubError, match="names no repository"):
        publish(Dataset.open(kitchen), "a/b/c")


def test_xet(hub: Hub, kitchen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError, match="set HF_HUB_DISABLE_XET=1"):
        publish(Dataset.open(kitchen), REPO)
    hub.xet = tmp_path / "xet"
    hub.xet.mkdir()
    done = publish(Dataset.open(kitchen), REPO)
    assert not hub.asked("POST", "/info/lfs/")
    assert not hub.asked("PUT", "")
    assert whole(hub, hub.history(REPO)[-1]) == done.digest
    stored = sum(path.stat().st_size for path in hub.xet.rglob("*") if path.is_file())
    assert stored > sum(shard.size for shard in Dataset.open(kitchen).manifest.shards) // 2


def test_no_token_in_any_output_file_or_message(hub: Hub, kitchen: Path, tmp_path: Path) -> None:
    out = tmp_path / "pulled"
    texts = [
        run("publish", kitchen, "--repo-id", REPO, "--json").output,
        run("pull", f"hf://datasets/{REPO}", "--out", out, "--json").output,
        run("mix", f"hf://datasets/{REPO}", "--out", tmp_path / "mix.toml").output,
        run("diff", f"hf://datasets/{REPO}", kitchen).output,
    ]
    for status in (401, 403, 404, 500, 503):
        hub.fault = lambda *_, status=status: Fault(status=status)
        result = run("publish", kitchen, "--repo-id", REPO)
        assert result.exit_code == 1
        texts += [result.output, str(result.exception)]
    assert all(hub.token in request.headers["authorization"] for request in hub.asked("POST", "/commit/"))
    assert not any(hub.token in text for text in texts)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "origin.json" for path in written)
    assert any("hf_home" in path.parts for path in written)
    assert not any(os.fsencode(hub.token) in path.read_bytes() for path in written)
    assert not any(os.fsencode(hub.token) in data for data in hub.files(REPO).values())
