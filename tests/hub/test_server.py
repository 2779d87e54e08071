"""The loopback Hub speaks to the real clients as the Hub does."""

import os
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tests.hub.server import Fault, Hub


@pytest.mark.parametrize("chunk_size", [None, 1000])
def test_what_goes_up_comes_down(hub: Hub, tmp_path: Path, chunk_size: int | None) -> None:
    hub.chunk_size = chunk_size
    api, files = HfApi(), {"a/one.tar": os.urandom(3500), "two.json": b"{}"}
    assert api.create_repo("user/name", repo_type="dataset", private=True).repo_id == "user/name"
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    api.create_commit("user/name", operations, commit_message="both", repo_type="dataset")
    assert len(hub.asked("PUT", "/storage/")) == (1 if chunk_size is None else 4)
    assert {path: hub.files("user/name")[path] for path in files} == files
    folder = Path(snapshot_download("user/name", repo_type="dataset", local_dir=tmp_path / "down"))
    assert {path: (folder / path).read_bytes() for path in files} == files
    assert all("authorization" not in request.headers for request in hub.requests if request.kind in ("cdn", "storage"))


def test_private_and_missing_repositories_are_not_told_apart(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("user/secret", private=True)
    assert HfApi().dataset_info("user/secret").private
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    for name in ("secret", "missing"):
        with pytest.raises(RepositoryNotFoundError):
            HfApi().dataset_info(f"user/{name}")


def test_a_commit_on_an_old_head_is_refused(hub: Hub) -> None:
    hub.create("user/name")
    old = hub.head("user/name")
    hub.commit("user/name", {"a.txt": b"theirs"})
    operation = CommitOperationAdd("a.txt", b"ours")
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().create_commit("user/name", [operation], commit_message="ours", repo_type="dataset", parent_commit=old)
    assert caught.value.response.status_code == 412
    assert hub.files("user/name")["a.txt"] == b"theirs"


def test_branches_tags_and_folders(hub: Hub) -> None:
    api = HfApi()
    hub.create("user/name")
    first = hub.commit("user/name", {"a/b/c.txt": b"1"})
    api.create_branch("user/name", repo_type="dataset", branch="next")
    api.create_tag("user/name", repo_type="dataset", tag="v1")
    hub.commit("user/name", {"a/b/c.txt": b"2"})
    refs = api.list_repo_refs("user/name", repo_type="dataset")
    assert {ref.name: ref.target_commit == first for ref in (*refs.branches, *refs.tags)} == {
        "main": False,
        "next": True,
        "v1": True,
    }
    assert Path(hf_hub_download("user/name", "a/b/c.txt", repo_type="dataset", revision="v1")).read_bytes() == b"1"
    assert [entry.path for entry in api.list_repo_tree("user/name", "a", repo_type="dataset")] == ["a/b"]


FAULTS = [Fault(status=429, retry_after="1"), Fault(reset=0), Fault(short=100)]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_client_meets_a_fault_and_bears_it(hub: Hub, fault: Fault) -> None:
    hub.create("user/name")
    data = os.urandom(5000)
    hub.commit("user/name", {"one.tar": data})
    hub.fault = lambda request, before: fault if request.kind == "cdn" and before == 0 else None
    assert Path(hf_hub_download("user/name", "one.tar", repo_type="dataset")).read_bytes() == data
    assert len(hub.asked("GET", "/cdn/")) == 2


@pytest.mark.parametrize("fault", [Fault(cut=100), Fault(lost=True), Fault(status=500)], ids=str)
def test_uploads_meet_a_fault(hub: Hub, fault: Fault) -> None:
    hub.create("user/name")
    hub.fault = lambda request, before: fault if request.kind == "storage" and before == 0 else None
    operation = CommitOperationAdd("one.tar", os.urandom(500_000))
    HfApi().preupload_lfs_files("user/name", [operation], repo_type="dataset")
    assert len(hub.asked("PUT", "/storage/")) == 2
    assert list(hub.objects) == [operation.upload_info.sha256.hex()]
