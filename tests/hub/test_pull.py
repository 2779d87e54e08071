"""A data set from the Hub into a folder, whole or in part; readers of the Hub see what readers of the folder see."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.hub.conftest import REPO, contents, published
from tests.hub.server import Fault, Hub, Request
from vpdata.cli.app import app
from vpdata.errors import DamageError, HubError, ShardError
from vpdata.hub import pull as pulling
from vpdata.hub.publish import publish
from vpdata.hub.pull import choose, pull, pull_part
from vpdata.loader.loader import load
from vpdata.loader.window import WindowSpec
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.split import Split
from vpdata.shards.dataset import Dataset
from vpdata.shards.transfer import Patience
from vpdata.shards.validate import validate

URL = f"hf://datasets/{REPO}"
PATIENT = Patience(first_seconds=0.02, total_seconds=60, stall_seconds=20)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def online(hub: Hub, kitchen: Path) -> Hub:
    publish(Dataset.open(kitchen), REPO)
    hub.requests.clear()
    hub.seen.clear()
    return hub


def test_all_of_it(online: Hub, kitchen: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("pull", URL, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert contents(out) == contents(kitchen)
    assert validate(out).problems == ()
    commit = online.head(REPO)
    assert json.loads(result.stdout)["from"] == f"{URL}@{commit}"
    assert json.loads((out / "origin.json").read_text()) == {
        "url": f"{URL}@{commit}",
        "digest": Dataset.open(kitchen).digest,
    }
    assert not (tmp_path / "cache" / "blocks").exists()
    assert all("authorization" not in request.headers for request in online.requests if request.kind == "cdn")
    asked = len(online.requests)
    assert run("pull", URL, "--out", out).exit_code == 0
    assert len(online.requests) - asked <= 3  # the commit and the manifest


def test_a_revision_of_old(online: Hub, kitchen: Path, relabelled: Path, tmp_path: Path) -> None:
    first = online.head(REPO)
    publish(Dataset.open(relabelled), REPO)
    pull(f"{URL}@{first}", tmp_path / "old")
    pull(URL, tmp_path / "new")
    assert contents(tmp_path / "old") == contents(kitchen)
    assert contents(tmp_path / "new") == contents(relabelled)
    with pytest.raises(HubError, match="the folder holds another data set"):
        pull(URL, tmp_path / "old")


def test_any_other_url(kitchen: Path, tmp_path: Path) -> None:
    assert pull(f"file://{kitchen}", tmp_path / "out") == f"file://{kitchen}"
    assert contents(tmp_path / "out") == contents(kitchen)


def test_a_branch_that_moves_under_an_unfinished_pull(online: Hub, relabelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    online.fault = lambda request, _: Fault(status=404) if "shard-00005" in request.path else None
    with pytest.raises(ShardError, match=r"shard-00005.tar: there is no such file"):
        pull(URL, out, patience=PATIENT)
    assert not (out / "manifest.json").exists()
    assert "Its download is unfinished" in str(run("info", out).exception)
    online.fault = lambda *_: None
    publish(Dataset.open(relabelled), REPO)
    (out / "shard-00077.tar").write_bytes(b"had its name already")
    pull(URL, out)
    assert contents(out) == contents(relabelled)
    assert not (out / ".pull").exists()


def test_an_end_just_before_the_manifest(online: Hub, kitchen: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pull(URL, out)
    (out / "manifest.json").unlink()
    (out / ".pull").mkdir()
    shard = out / "shard-00002.tar"
    shard.write_bytes(shard.read_bytes()[::-1])
    online.requests.clear()
    pull(URL, out)
    assert contents(out) == contents(kitchen)
    assert {Path(request.path).name for request in online.asked("GET", "/resolve/.*tar")} == {shard.name}


FAULTS = [
    Fault(status=429, retry_after="1"),
    Fault(status=503),
    Fault(short=10_000),
    Fault(reset=10_000),
    Fault(stall=10_000),
    Fault(flip=999),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_faults_pass(online: Hub, kitchen: Path, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "CHUNK_BYTES", 100_000)
    struck: list[Request] = []

    def strike(request: Request, before: int) -> Fault | None:
        if request.kind != "cdn" or before or len(struck) > 3:
            return None
        struck.append(request)
        return fault

    online.fault = strike
    stall_seconds = 0.3 if fault.stall else 20
    pull(URL, tmp_path / "out", patience=Patience(first_seconds=0.02, total_seconds=60, stall_seconds=stall_seconds))
    assert struck
    assert contents(tmp_path / "out") == contents(kitchen)


def test_wrong_bytes_never_get_their_name(online: Hub, tmp_path: Path) -> None:
    online.fault = lambda request, _: Fault(flip=5) if request.kind == "cdn" else None
    with pytest.raises(DamageError, match=r"another SHA-256 than the manifest says, in 3 downloads"):
        pull(URL, tmp_path / "out")
    assert not list(tmp_path.rglob("*.tar"))


@pytest.mark.usefixtures("online")
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(HubError, match="the folder holds other files"):
        pull(URL, out)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    finished = tmp_path / "finished"
    pull(URL, finished)
    (finished / "shard-00003.tar").unlink()
    with pytest.raises(HubError, match=r"shard-00003.tar: is missing or cut off"):
        pull(URL, finished)


def test_some_tasks_and_cameras(online: Hub, kitchen: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("pull", URL, "--task", "OpenDrawer", "--camera", "wrist", "--camera", "left", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert validate(out, decode=True).problems == ()
    local, part = Dataset.open(kitchen), Dataset.open(out)
    kept = [clip for clip in local.clips if clip.episode.task == "OpenDrawer"]
    assert [clip.key for clip in part.clips] == [clip.key for clip in kept]
    for old, new in zip(kept, part.clips, strict=True):
        assert [camera.name for camera in new.episode.cameras] == ["wrist", "left"]
        names = {member.name for member in new.members}
        assert names == {"actions.npy", "json", "left.mp4", "state.npy", "wrist.mp4"}
        for name in names - {"json"}:
            assert part.read(new, name) == local.read(old, name)
    shards = {Path(request.path).name for request in online.asked("GET", "/resolve/.*tar")}
    assert shards == {clip.shard for clip in kept}
    assert json.loads((out / "origin.json").read_text())["url"] == f"{URL}@{online.head(REPO)}"
    operation = part.manifest.operation
    assert operation is not None
    assert (operation.verb, operation.inputs[0].digest) == ("pull", local.digest)


@pytest.mark.usefixtures("online")
def test_one_side_of_a_split(kitchen: Path, tmp_path: Path) -> None:
    split = Split(by="episode", share=Fraction(1, 2))
    split.write(tmp_path / "split.toml")
    keys = []
    for side in ("train", "held-out"):
        out = tmp_path / side
        result = run("pull", URL, "--split", tmp_path / "split.toml", "--side", side, "--out", out)
        assert result.exit_code == 0, result.output
        keys += [clip.key for clip in Dataset.open(out).clips]
    assert sorted(keys) == sorted(clip.key for clip in Dataset.open(kitchen).clips)


@pytest.mark.usefixtures("online")
def test_a_part_of_a_folder_is_the_same_as_of_the_hub(kitchen: Path, tmp_path: Path) -> None:
    for place, name in ((str(kitchen), "here"), (URL, "there")):
        pull_part(choose(Dataset.open(place), cameras=["right"]), tmp_path / name)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_a_part_that_is_not_there(kitchen: Path) -> None:
    dataset = Dataset.open(kitchen)
    with pytest.raises(HubError, match=r"no task 'Fly'. Tasks: CloseDrawer, OpenDrawer"):
        choose(dataset, tasks=["Fly"])
    with pytest.raises(HubError, match=r"no camera 'tail'. Cameras: left, right, wrist"):
        choose(dataset, cameras=["wrist", "tail"])


def test_the_stream_of_the_hub_is_that_of_the_folder(
    online: Hub, kitchen: Path, relabelled: Path, tmp_path: Path
) -> None:
    files = {}
    for name, place in (("here", str(kitchen)), ("there", URL)):
        files[name] = tmp_path / f"{name}.toml"
        mixture = make_mixture(
            {"kitchen": Dataset.open(place)},
            file=files[name],
            action_free=Fraction(1, 4),
            withhold={"kitchen": ["OpenDrawer"]},
        )
        mixture.spec.write(files[name])
    commit = online.head(REPO)
    assert f"{URL}@{commit}" in files["there"].read_text()
    publish(Dataset.open(relabelled), REPO)  # a branch that moves on moves no mixture
    shutil.rmtree(tmp_path / "cache")
    spec = WindowSpec(num_frames=2, stride=2, horizon=2, height=32, width=32, cameras=("wrist", "left"))
    here, there = (
        load(Mixture.open(file), spec, batch_size=4, start=0, stop=40, num_workers=0) for file in files.values()
    )
    num_compared = 0
    for ours, theirs in zip(here, there, strict=True):
        for window, wanted in zip(ours.windows, theirs.windows, strict=True):
            assert (window.key, window.start, window.position) == (wanted.key, wanted.start, wanted.position)
            np.testing.assert_equal(window.actions, wanted.actions)
            for camera in spec.cameras:
                np.testing.assert_array_equal(window.frames[camera], wanted.frames[camera])
            num_compared += 1
    assert num_compared == 40
    assert published(online, revision=commit) == contents(kitchen)
    assert all(commit in request.path for request in online.asked("GET", "/resolve/.*tar"))
