"""What stops a publishing: no licence, or different ones; paths, names, addresses, coordinates and secrets."""

import getpass
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from tests.hub.relabelled import with_attributes
from vpdata.errors import HubError
from vpdata.hub.boxes import has_location
from vpdata.hub.licences import licence_of
from vpdata.hub.publish import publish
from vpdata.hub.scan import Finding, scan
from vpdata.schema import Scalar
from vpdata.shards.dataset import Dataset


def test_the_licence_of_all_episodes(kitchen: Path, unlicensed: Path) -> None:
    found = licence_of(Dataset.open(kitchen), named=None)
    assert found.name == "cc-by-4.0"
    assert [(part.name, part.source, part.num_episodes) for part in found.parts] == [("CC BY 4.0", "robocasa", 4)]
    assert licence_of(Dataset.open(unlicensed), named="MIT").name == "mit"


def test_licences_that_say_nothing_certain(kitchen: Path, unlicensed: Path, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"4 of 4 episodes carry no licence. Say with --license"):
        licence_of(Dataset.open(unlicensed), named=None)
    some = with_attributes(unlicensed, tmp_path / "some", "task == 'OpenDrawer'", licence="mit")
    with pytest.raises(HubError, match="3 of 4 episodes carry no licence"):
        licence_of(some, named=None)
    mixed = with_attributes(kitchen, tmp_path / "mixed", "task == 'OpenDrawer'", licence="cc-by-nc-4.0")
    with pytest.raises(HubError, match=r"different licences: CC BY 4.0 \(3 episodes\), cc-by-nc-4.0 \(1 episodes\)"):
        licence_of(mixed, named=None)
    assert licence_of(mixed, named="cc-by-nc-4.0").name == "cc-by-nc-4.0"
    own = with_attributes(kitchen, tmp_path / "own", licence="ask me")
    with pytest.raises(HubError, match="the Hub knows no licence 'ask me'"):
        licence_of(own, named=None)
    with pytest.raises(HubError, match=r"knows no licence 'mine'. Write one of afl-3.0"):
        licence_of(own, named="mine")


def test_nothing_is_found_in_clean_recordings(datasets: dict[str, Path], kitchen: Path) -> None:
    for folder in (*datasets.values(), kitchen):
        assert scan(Dataset.open(folder)) == ()


@pytest.mark.parametrize(
    ("attribute", "value", "kind", "text"),
    [
        ("note", "recorded by jo.doe+lab@example.org today", "email", "jo.doe+lab@example.org"),
        ("raw", "/home/jo/takes/7.bag", "path", "/home/jo/takes/7.bag"),
        ("raw", "see ~/takes/7.bag", "path", "~/takes/7.bag"),
        ("raw", "from C:\\Users\\jo\\takes", "path", "C:\\Users\\jo\\takes"),
        ("key", "hf_" + "a1" * 15, "secret", "hf_a…"),
        ("gps_lat", 52.516275, "location", "52.516275"),
        ("longitude", "13.377704", "location", "13.377704"),
    ],
)
def test_what_is_found(kitchen: Path, tmp_path: Path, attribute: str, value: Scalar, kind: str, text: str) -> None:
    dataset = with_attributes(kitchen, tmp_path / "out", "task == 'OpenDrawer'", **{attribute: value})
    (found,) = [finding for finding in scan(dataset) if finding.where.startswith("index")]
    assert found == Finding(kind=kind, where=f"index.parquet: attributes.{attribute}", text=text)
    with pytest.raises(HubError, match=f"{kind}: .*--allow {kind}"):
        publish(dataset, "user/name", dry_run=True)


@pytest.mark.parametrize(
    "text",
    [
        "put the cup on/off the plate",
        "1/2 and 3/4",
        "a@b",
        "at 3:/4",
        "latch the door",
        "hf://datasets/a/b@v1.0/c/d.mp4",
    ],
)
def test_what_is_no_finding(kitchen: Path, tmp_path: Path, text: str) -> None:
    assert scan(with_attributes(kitchen, tmp_path / "out", note=text, latch=3)) == ()


def test_who_is_logged_in(kitchen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = with_attributes(kitchen, tmp_path / "out", operator="Josephine, left arm")
    assert scan(dataset) == ()
    monkeypatch.setattr(getpass, "getuser", lambda: "josephine")
    assert {finding.kind for finding in scan(dataset)} == {"user"}
    monkeypatch.setattr(getpass, "getuser", lambda: "root")
    assert scan(with_attributes(kitchen, tmp_path / "root", note="root of the plant")) == ()


def test_a_path_in_the_manifest(kitchen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(kitchen, folder)
    text = (folder / "manifest.json").read_text()
    reason = '{"file": "a.hdf5", "episode": "", "reason": "cannot read /data/jo/a.hdf5"}'
    (folder / "manifest.json").write_text(text.replace('"skipped": []', f'"skipped": [{reason}]'))
    found = scan(Dataset.open(folder))
    assert found == (Finding(kind="path", where="manifest.json: skipped.reason", text="/data/jo/a.hdf5"),)


@pytest.mark.parametrize(
    ("tags", "options", "found"),
    [
        ({}, {}, False),
        ({"title": "a walk"}, {}, False),
        ({"location": "+52.5163+013.3777/"}, {}, True),
        ({"location": "+52.5163+013.3777/"}, {"movflags": "faststart"}, True),
        ({"com.apple.quicktime.location.ISO6709": "+52.5+013.3/"}, {"movflags": "use_metadata_tags"}, True),
    ],
)
def test_coordinates_in_a_video(tmp_path: Path, tags: dict[str, str], options: dict[str, str], found: bool) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", options=options) as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 32
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    inside = tmp_path / "inside"
    inside.write_bytes(b"x" * 100 + path.read_bytes() + b"location.ISO6709 \xa9xyz")
    with inside.open("rb") as file:
        assert has_location(file.fileno(), 100, 100 + path.stat().st_size) == found


def test_coordinates_inside_a_shard(kitchen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(kitchen, folder)
    dataset = Dataset.open(folder)
    clip = dataset.clips[len(dataset.clips) // 2]
    member = next(member for member in clip.members if member.name == "wrist.mp4")
    shard = folder / clip.shard
    data = bytearray(shard.read_bytes())
    place = data.index(b"udta", member.offset, member.offset + member.size)
    data[place + 8 : place + 12] = b"loci"
    shard.write_bytes(data)
    (found,) = scan(dataset)
    assert (found.kind, found.where) == ("location", f"{clip.shard}: {clip.key}.wrist.mp4")
