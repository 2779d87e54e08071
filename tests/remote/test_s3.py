"""Data sets in a bucket. Needs the extra `s3`; the server on loopback answers for S3 as far as reading goes."""

import pytest
from http_server import Fault, Server
from test_remote import PATIENT, everything

from vpdata.errors import ShardError
from vpdata.shards.cache import Cache
from vpdata.shards.dataset import Dataset
from vpdata.shards.remote import RemoteStore


@pytest.fixture(autouse=True)
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The served folder `robocasa` is the bucket of that name."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_every_byte_is_the_folders_and_comes_once(server: Server, local: Dataset) -> None:
    assert everything(Dataset.open("s3://robocasa")) == everything(local)
    shards = [(f"/robocasa/{shard.name}", (0, shard.size)) for shard in local.manifest.shards]
    assert sorted((r.path, r.range) for r in server.requests if r.range) == sorted(shards)
    assert len(server.requests) == len(shards) + 2


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(short=100), Fault(reset=0), Fault(flip=600)], ids=str)
def test_faults_pass(server: Server, local: Dataset, fault: Fault) -> None:
    server.fault = lambda request, before: fault if before == 0 and request.range else None
    store = RemoteStore("s3://robocasa", cache=Cache.default(), patience=PATIENT)
    assert store.read_file("manifest.json")
    remote = Dataset(store=store, digest=local.digest)
    assert remote.read(remote.clips[0], "json") == local.read(local.clips[0], "json")
    assert len([request for request in server.requests if request.range]) == 2


@pytest.mark.parametrize(
    ("status", "says"),
    [(403, "access is denied. Set AWS_ACCESS_KEY_ID"), (404, "no such file (404). Check the URL")],
)
def test_faults_that_stay_are_errors(server: Server, status: int, says: str) -> None:
    server.fault = lambda *_: Fault(status=status)
    with pytest.raises(ShardError) as caught:
        Dataset.open("s3://robocasa")
    assert says in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert len(server.requests) == 1
