"""Recordings on the Hub: downloaded by the real client from a Hub on loopback, and read as if they were here."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import describe, episodes, read

from tests.hub.server import Fault, Hub
from vpdata.errors import SourceError
from vpdata.sources import hub as sources_hub

SLOW = "libero10_basket_002_5fps.mp4"
FRAME = "libero_object_soup_single_frame.mp4"


@pytest.fixture
def repo(hub: Hub, recordings: Path) -> str:
    """A data set in every shape; returns its commit."""
    slow, frame = ((recordings / "video" / name).read_bytes() for name in (SLOW, FRAME))
    tar, table = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as file:
        for name, data in (("k.mp4", slow), ("k.txt", b"tidy up")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    pq.write_table(pa.table({"video": [frame], "caption": ["look"]}), table)
    hub.create("user/name")
    files = {
        "clips/a/slow.mp4": slow,
        "clips/a/slow.txt": b"tidy up",
        "clips/FRAME.MP4": frame,
        "clips/readme.md": b"nothing",
        "clips/metadata.csv": b"file_name,caption\na/slow.mp4,put it away\n",
        "tars/train-0.tar": tar.getvalue(),
        "tars/train-1.tar": tar.getvalue(),
        "data/train.parquet": table.getvalue(),
        "other/large.mp4": b"not wanted",
    }
    return hub.commit("user/name", files)


def url(inside: str, revision: str = "") -> Path:
    return Path(f"hf://datasets/user/name{'@' + revision if revision else ''}/{inside}")


def downloaded(hub: Hub) -> set[str]:
    asked = {request.path.partition("/resolve/")[2].partition("/")[2] for request in hub.asked("GET", "/resolve/")}
    sent = {request.path.rpartition("/")[2] for request in hub.asked("GET", "/cdn/")}
    return asked | {path for path, blob in hub.tree("user/name").items() if blob.sha256 in sent}


def test_a_folder_of_videos(hub: Hub, repo: str) -> None:
    found = episodes("video", url("clips"))
    assert [(episode.file, episode.num_frames > 1) for episode in found] == [("FRAME.MP4", False), ("a/slow.mp4", True)]
    assert [episode.attributes["url"] for episode in found] == [
        f"hf://datasets/user/name@{repo}/clips/FRAME.MP4",
        f"hf://datasets/user/name@{repo}/clips/a/slow.mp4",
    ]
    assert found[1].instructions == ("tidy up",)
    assert downloaded(hub) == {"clips/a/slow.mp4", "clips/FRAME.MP4", "clips/a/slow.txt"}


@pytest.mark.parametrize(
    ("inside", "names"),
    [
        ("clips/a/slow.mp4", ["slow.mp4"]),
        ("clips/*/*.mp4", ["a/slow.mp4"]),
        ("clips/**/*.[mM][pP]4", ["FRAME.MP4", "a/slow.mp4"]),
        ("clip?", ["clips/FRAME.MP4", "clips/a/slow.mp4"]),
        ("clips/metadata.csv", ["a/slow.mp4"]),
        ("tars/train-0.tar", ["train-0.tar"]),
        ("data", ["train.parquet"]),
    ],
)
def test_what_can_be_named(hub: Hub, repo: str, inside: str, names: list[str]) -> None:
    found = episodes("video", url(inside))
    assert [episode.file for episode in found] == names
    assert found[0].attributes["url"].startswith(f"hf://datasets/user/name@{repo}/")
    assert "other/large.mp4" not in downloaded(hub)
    episode = found[0]
    assert len(next(iter(read("video", url(inside), episode)[0].values()))) == episode.num_frames
    if inside == "clips/metadata.csv":
        assert episode.instructions == ("put it away",)


def test_a_revision_stays_what_it_was(hub: Hub, repo: str, recordings: Path) -> None:
    changed = (recordings / "video" / FRAME).read_bytes()
    hub.commit("user/name", {"clips/a/slow.mp4": changed})
    assert [episode.num_frames for episode in episodes("video", url("clips/a/slow.mp4"))] == [1]
    assert episodes("video", url("clips/a/slow.mp4", repo))[0].num_frames > 1


def test_what_is_downloaded_is_not_downloaded_again(hub: Hub, repo: str) -> None:
    episodes("video", url("tars/train-0.tar", repo))
    before = len(hub.requests)
    episodes("video", url("tars/train-0.tar", repo))
    assert len(hub.requests) == before


def test_a_list_from_the_hub_names_nothing_of_this_machine(hub: Hub, recordings: Path) -> None:
    own = recordings / "video" / SLOW
    rows = ["a/slow.mp4", str(own), "../" * 20 + str(own)]
    hub.create("user/lists")
    hub.commit("user/lists", {"a/slow.mp4": own.read_bytes(), "list.csv": "\n".join(["path", *rows]).encode()})
    found = describe("video", Path("hf://datasets/user/lists/list.csv"))
    assert [getattr(item, "file", None) for item in found] == ["a/slow.mp4", None, None]
    assert all("leaves the folder of the list, which comes from the Hub" in str(item) for item in found[1:])


def test_other_sources_read_from_it_too(hub: Hub, recordings: Path) -> None:
    hub.create("user/aloha")
    hub.commit("user/aloha", {"pick_cube/episode_0.hdf5": (recordings / "aloha_raw" / "episode_0.hdf5").read_bytes()})
    (episode,) = episodes("teleop", Path("hf://datasets/user/aloha"))
    assert (episode.file, episode.task, episode.num_frames) == ("pick_cube/episode_0.hdf5", "pick_cube", 12)


@pytest.mark.usefixtures("repo")
def test_what_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"hf://datasets/user/name/nowhere: the data set has no such file"):
        describe("video", url("nowhere"))
    with pytest.raises(SourceError, match=r"user/other: it cannot be downloaded.*Check its name"):
        describe("video", Path("hf://datasets/user/other"))
    with pytest.raises(SourceError, match=r"user/name@v9/clips: it cannot be downloaded"):
        describe("video", url("clips", "v9"))
    with pytest.raises(SourceError, match=r"no data set of the Hub. Write hf://datasets/USER/NAME"):
        describe("video", Path("hf://user/name"))
    with pytest.raises(SourceError, match="no video among 0 matches of this pattern"):
        describe("video", url("clips/*.webm"))
    assert sources_hub.origin(Path("/data/a.mp4")) is None


@pytest.mark.usefixtures("repo")
def test_a_hub_that_fails_is_told(hub: Hub) -> None:
    hub.fault = lambda request, _: Fault(status=404) if request.kind == "resolve" else None
    with pytest.raises(SourceError, match="it cannot be downloaded"):
        describe("video", url("tars"))


@pytest.mark.usefixtures("repo")
def test_the_command_reads_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    arguments = ["ingest", "video", "hf://datasets/user/name/tars/train-0.tar", "hf://datasets/user/name@main/data"]
    command = [sys.executable, "-m", "vpdata", *arguments, "--out", str(tmp_path / "out"), "--workers", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["episodes"] == 2
    assert hub.token not in done.stdout + done.stderr
