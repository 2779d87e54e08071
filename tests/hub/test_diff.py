"""What differs between two data sets, or two revisions of one."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from tests.hub.conftest import REPO
from tests.hub.server import Hub
from vpdata.cli.app import app
from vpdata.clips.encode import ClipOptions
from vpdata.hub.diff import difference
from vpdata.hub.publish import publish
from vpdata.ingest import IngestOptions, ingest
from vpdata.sets.operations import delete, reshard
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_nothing(kitchen: Path) -> None:
    found = difference(Dataset.open(kitchen), Dataset.open(kitchen))
    assert (found.added, found.removed, found.changed, found.num_equal) == ({}, {}, (), 40)
    assert not found.reordered
    assert found.manifest == ()


def test_clips_that_come_and_go(kitchen: Path, tmp_path: Path) -> None:
    whole = Dataset.open(kitchen)
    write(delete(whole, tasks=["OpenDrawer"]), tmp_path / "less")
    less = Dataset.open(tmp_path / "less")
    gone = {clip.key: "OpenDrawer" for clip in whole.clips if clip.episode.task == "OpenDrawer"}
    assert difference(whole, less).removed == difference(less, whole).added == gone
    assert difference(whole, less).num_equal == 40 - len(gone)


def test_labels_and_contents(kitchen: Path, relabelled: Path, recordings: Path, tmp_path: Path) -> None:
    labels = difference(Dataset.open(kitchen), Dataset.open(relabelled))
    assert len(labels.changed) == 40
    assert all(change.only_labels for change in labels.changed)
    assert "operation" in labels.manifest
    options = IngestOptions(clip=ClipOptions(codec="jpeg"), clip_starts=12, window_span=8, shard_frames=250)
    ingest("robocasa", [next(recordings.rglob("OpenDrawer"))], tmp_path / "jpeg", options, workers=1)
    contents = difference(Dataset.open(kitchen), Dataset.open(tmp_path / "jpeg"))
    assert (len(contents.changed), len(contents.removed)) == (10, 30)
    assert {"json", "wrist.jpegs", "wrist.mp4"} <= set(contents.changed[0].members)
    assert "actions.npy" not in contents.changed[0].members
    assert not contents.changed[0].only_labels


def test_another_order(kitchen: Path, tmp_path: Path) -> None:
    write(reshard(Dataset.open(kitchen), shuffle=1), tmp_path / "shuffled")
    found = difference(Dataset.open(kitchen), Dataset.open(tmp_path / "shuffled"))
    assert (found.num_equal, found.reordered) == (40, True)


def test_two_revisions_without_reading_a_shard(hub: Hub, kitchen: Path, relabelled: Path) -> None:
    publish(Dataset.open(kitchen), REPO)
    old = hub.head(REPO)
    publish(Dataset.open(relabelled), REPO)
    hub.requests.clear()
    url = f"hf://datasets/{REPO}"
    found = json.loads(run("diff", f"{url}@{old}", url, "--json").stdout)
    assert (found["a"], found["b"]) == (Dataset.open(kitchen).digest, Dataset.open(relabelled).digest)
    assert len(found["changed"]) == 40
    assert not hub.asked("GET", r"\.tar")
    shown = run("diff", f"{url}@{old}", url)
    assert "30  CloseDrawer  changed only in its labels" in shown.stdout
    assert "the manifests differ in" in shown.output
