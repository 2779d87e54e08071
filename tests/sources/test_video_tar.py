"""WebDataset tars of videos: read where they lie, with their captions, and every cut is found."""

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from reading import describe, episodes, errors, read

from vpdata.errors import SourceError
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions

SOUP = "libero_object_soup_000.mp4"
SLOW = "libero10_basket_002_5fps.mp4"
FRAME = "libero_object_soup_single_frame.mp4"


@pytest.fixture
def videos(recordings: Path) -> Mapping[str, bytes]:
    return {name: (recordings / "video" / name).read_bytes() for name in (SOUP, SLOW, FRAME)}


def write(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_videos_are_read_where_they_lie(recordings: Path, videos: Mapping[str, bytes], tmp_path: Path) -> None:
    about = {"caption": ["tidy up", "clean"], "licence": "MIT", "task": "basket", "score": 0.7}
    members = {
        "train/soup.mp4": videos[SOUP],
        "train/soup.txt": b"reach\ngrasp\n\n",
        "train/basket.MP4": videos[SLOW],
        "train/basket.json": json.dumps(about).encode(),
        f"./{'long/' * 40}one.mp4": videos[FRAME],
    }
    path = write(tmp_path / "a, b: c.tar", members)
    found = episodes("video", path)
    assert [episode.episode_id for episode in found] == ["train/soup", "train/basket", f"{'long/' * 40}one"]
    assert [episode.instructions for episode in found] == [("reach", "grasp"), ("tidy up", "clean"), ()]
    assert (found[1].task, found[1].attributes["licence"]) == ("basket", "MIT")
    for episode, name in zip(found, (SOUP, SLOW, FRAME), strict=True):
        (alone,) = episodes("video", recordings / "video" / name)
        expected = read("video", recordings / "video" / name, alone)[0]["main"]
        np.testing.assert_array_equal(read("video", path, episode)[0]["main"], expected)
    assert found[2].content_digest == alone.content_digest


def test_a_tar_becomes_a_data_set(videos: Mapping[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for number, name in enumerate((SOUP, SLOW)):
        members = {f"{number}.mp4": videos[name], f"{number}.txt": b"do it"}
        write(tmp_path / "shards" / f"{number:05d}.tar", members)
    ingest("video", [tmp_path / "shards"], tmp_path / "out", IngestOptions(), workers=2)
    clips = list(Dataset.open(tmp_path / "out").clips)
    assert [(clip.episode.file, clip.episode.instructions) for clip in clips] == [
        ("00000.tar", ("do it",)),
        ("00001.tar", ("do it",)),
    ]


def test_every_cut_is_found(videos: Mapping[str, bytes], tmp_path: Path) -> None:
    members = {"a.mp4": videos[FRAME], "a.txt": b"look", "b.txt": b"look", "b.mp4": videos[FRAME]}
    whole = write(tmp_path / "whole.tar", members).read_bytes()
    size = len(whole.rstrip(b"\0"))
    end = -(-size // 512) * 512 + 1024
    assert len(episodes("video", tmp_path / "whole.tar")) == 2
    cut = tmp_path / "cut.tar"
    for length in {*range(0, end, 512), *range(100, end, 1024), end - 1}:
        cut.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"cut\.tar"):
            describe("video", cut)
    cut.write_bytes(whole[:end])
    assert len(episodes("video", cut)) == 2


def test_a_damaged_header_is_no_end(videos: Mapping[str, bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", {"a.txt": b"look", "a.mp4": videos[FRAME]})
    data = bytearray(path.read_bytes())
    data[1024 + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="after byte 1024 there is neither a member nor the end"):
        describe("video", path)


def test_other_tars_are_refused(videos: Mapping[str, bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", {"a.mp4": videos[FRAME]})
    with tarfile.open(tmp_path / "zipped.tar", "w:gz") as tar:
        tar.add(path, "a.mp4")
    with pytest.raises(SourceError, match=r"no plain tar.*Decompress"):
        describe("video", tmp_path / "zipped.tar")
    with pytest.raises(SourceError, match="there are no videos in this tar"):
        describe("video", write(tmp_path / "texts.tar", {"a.txt": b"x"}))
    with tarfile.open(tmp_path / "twice.tar", "w") as tar:
        tar.add(path, "a.mp4")
        tar.add(path, "a.mp4")
    with pytest.raises(SourceError, match=r"a\.mp4: two members have this name"):
        describe("video", tmp_path / "twice.tar")
    link = tarfile.TarInfo("b.mp4")
    link.type, link.linkname = tarfile.LNKTYPE, "a.mp4"
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        tar.add(path, "a.mp4")
        tar.addfile(link)
    with pytest.raises(SourceError, match=r"b\.mp4: the member is a link"):
        describe("video", tmp_path / "links.tar")


def test_bad_keys_are_told_and_the_others_go_on(videos: Mapping[str, bytes], tmp_path: Path) -> None:
    members = {
        "good.mp4": videos[FRAME],
        "text.mp4": b"no video",
        "empty.mp4": b"",
        "alone.txt": b"x",
        "mute.mp4": videos[SLOW],
        "mute.json": b"[1]",
        "cut.mp4": videos[SOUP][:20_000],
    }
    found = errors("video", write(tmp_path / "a.tar", members))
    assert sorted(found) == ["alone", "cut.mp4", "empty.mp4", "mute.json", "text.mp4"]
    assert "its videos: none" in found["alone"]
    assert "does not recognise this as a video" in found["text.mp4"]
    assert "0 bytes" in found["empty.mp4"]
    assert "it is no object" in found["mute.json"]


def test_of_several_cameras_one_is_chosen(videos: Mapping[str, bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", {"a.front.mp4": videos[SLOW], "a.wrist.mp4": videos[FRAME]})
    (message,) = errors("video", path).values()
    assert "has not one video; its videos: front.mp4, wrist.mp4. Choose one with --camera NAME=ENDING." in message
    options = SourceOptions(cameras={"hand": "wrist.mp4"})
    (episode,) = episodes("video", path, options)
    assert [(camera.name, camera.recorded_name) for camera in episode.cameras] == [("hand", "wrist.mp4")]
    assert read("video", path, episode, options)[0]["hand"].shape[0] == 1
    (message,) = errors("video", path, SourceOptions(cameras={"hand": "top.mp4"})).values()
    assert "has not video 'top.mp4'; its videos: front.mp4, wrist.mp4" in message


def test_a_folder_of_videos_and_tars(recordings: Path, videos: Mapping[str, bytes], tmp_path: Path) -> None:
    write(tmp_path / "more.tar", {"a.mp4": videos[FRAME]})
    shutil.copy(recordings / "video" / SLOW, tmp_path)
    assert [episode.file for episode in episodes("video", tmp_path)] == [SLOW, "more.tar"]
