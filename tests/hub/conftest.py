import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.hub.relabelled import with_attributes
from tests.hub.server import Commit, Hub
from vpdata.hub import commits, publish
from vpdata.hub.pictures import draw_pictures
from vpdata.ingest import IngestOptions, ingest
from vpdata.sets.labels import Labels
from vpdata.sets.operations import relabel
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import parse_manifest

REPO = "user/kitchen"
LICENCE = "cc-by-4.0"


@pytest.fixture(scope="session")
def unlicensed(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of several shards with several clips each, whose episodes say nothing of a licence."""
    folder = tmp_path_factory.mktemp("hub") / "kitchen"
    options = IngestOptions(clip_starts=12, window_span=8, shard_frames=250)
    ingest("robocasa", [recordings / "robocasa"], folder, options, workers=2)
    return folder


@pytest.fixture(scope="session")
def kitchen(unlicensed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under a licence. To be read only."""
    return with_attributes(unlicensed, tmp_path_factory.mktemp("hub") / "kitchen", licence="CC BY 4.0").path


@pytest.fixture(scope="session")
def relabelled(kitchen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version of it: every shard has other bytes under the same name."""
    folder = tmp_path_factory.mktemp("hub") / "kitchen"
    write(relabel(Dataset.open(kitchen), Labels(instructions=("shut it",))), folder)
    return folder


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no long waits, and the pictures of a data set drawn once for all tests."""
    monkeypatch.setenv("VPDATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(commits, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(publish, "draw_pictures", _drawn_once)


_drawn: dict[str, Mapping[str, bytes]] = {}


def _drawn_once(dataset: Dataset) -> Mapping[str, bytes]:
    if dataset.digest not in _drawn:
        _drawn[dataset.digest] = draw_pictures(dataset)
    return _drawn[dataset.digest]


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a data set by name, without the note where it was pulled from."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "origin.json"}


def published(hub: Hub, repo_id: str = REPO, revision: str = "main") -> dict[str, bytes]:
    """The files of the data set on the Hub, without its card."""
    others = (".gitattributes", "README.md")
    files = hub.files(repo_id, revision)
    return {path: data for path, data in files.items() if path not in others and not path.startswith("card/")}


def whole(hub: Hub, commit: Commit) -> str | None:
    """The digest of the data set that a reader sees at a commit, None where there is none; fails at half a one."""
    manifest = commit.tree.get("manifest.json")
    if manifest is None:
        return None
    data = hub.data(manifest)
    found = parse_manifest(data, place="")
    for file in (*found.shards, found.index):
        blob = commit.tree[file.name]
        assert (blob.size, blob.sha256) == (file.size, file.sha256)
    return hashlib.sha256(data).hexdigest()


def seen(hub: Hub) -> list[str | None]:
    """What readers saw, one after the other."""
    digests = [whole(hub, commit) for commit in hub.history(REPO)]
    return [digest for i, digest in enumerate(digests) if i == 0 or digest != digests[i - 1]]
