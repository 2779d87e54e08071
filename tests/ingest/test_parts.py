"""Shards in parts: nothing of them shows in the bytes, and what is finished is not encoded again."""

import os
from pathlib import Path

import pytest

from vpdata import __version__, sources
from vpdata.clips.encode import encode_clip
from vpdata.ingest import IngestOptions, Plan, ingest, make_plan
from vpdata.ingest.parts import parts_of
from vpdata.ingest.worker import Task, carry_out
from vpdata.shards.arrays import OwnedRows
from vpdata.shards.manifest import read_manifest
from vpdata.shards.staging import Staging
from vpdata.shards.tar import write_shard
from vpdata.stats import ArrayStatistics

OPTIONS = IngestOptions()


@pytest.fixture(scope="module")
def soup(recordings: Path) -> Path:
    return next((recordings / "libero").glob("*alphabet_soup*.hdf5"))


@pytest.fixture(scope="module")
def plan(soup: Path) -> Plan:
    found = make_plan("libero", [soup], OPTIONS)
    assert [len(parts_of(shard)) for shard in found.shards] == [2]
    return found


@pytest.fixture(scope="module")
def in_one_go(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, ArrayStatistics]]:
    """The shard as written clip by clip from the first to the last, and the statistics of its rows."""
    path = tmp_path_factory.mktemp("one") / "shard.tar"
    source, rows = sources.load(plan.source), OwnedRows()
    contents = []
    for clip in plan.shards[0].clips:
        with source.open(clip.file, clip.episode, OPTIONS.source) as reader:
            members = encode_clip(reader, clip.episode, clip.span, OPTIONS.clip, tool_version=__version__)
        rows.add(clip.episode, clip.span, members)
        contents.append((clip.key, members))
    write_shard(path, contents)
    return path.read_bytes(), rows.statistics()


def task(plan: Plan, out: Path, number: int) -> Task:
    shard = plan.shards[0]
    part = parts_of(shard)[number]
    return Task(source=plan.source, shard=shard, part=part, options=OPTIONS, out=out, keep_going=False)


def test_parts_hold_whole_episodes_and_all_clips_in_order(plan: Plan) -> None:
    (shard,) = plan.shards
    parts = parts_of(shard)
    assert tuple(clip for part in parts for clip in part.clips) == shard.clips
    assert sum(part.camera_frames for part in parts) == shard.camera_frames
    episodes = [{clip.episode.episode_id for clip in part.clips} for part in parts]
    assert not episodes[0] & episodes[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_of_parts_is_that_made_in_one_go(
    workers: int, soup: Path, plan: Plan, in_one_go: tuple[bytes, dict[str, ArrayStatistics]], tmp_path: Path
) -> None:
    seen: list[int] = []
    ingest("libero", [soup], tmp_path / "out", OPTIONS, workers=workers, progress=seen.append)
    data, statistics = in_one_go
    assert (tmp_path / "out" / "shard-00000.tar").read_bytes() == data
    assert read_manifest(tmp_path / "out")[0].statistics == statistics
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.parquet",
        "manifest.json",
        "shard-00000.tar",
    ]
    assert sum(seen) == plan.camera_frames


@pytest.mark.parametrize("cut", [False, True])
def test_only_the_missing_part_is_encoded(
    cut: bool, soup: Path, plan: Plan, in_one_go: tuple[bytes, dict[str, ArrayStatistics]], tmp_path: Path
) -> None:
    """As after a kill, with the first part whole, or cut off behind its journal."""
    out = tmp_path / "out"
    (out / ".ingest").mkdir(parents=True)
    carry_out(task(plan, out, 0), progress=lambda _: None)
    first = parts_of(plan.shards[0])[0]
    assert sorted(path.name for path in (out / ".ingest").iterdir()) == [
        "shard-00000.tar.joining",
        first.name,
        f"{first.name}.json",
    ]
    if cut:
        os.truncate(out / ".ingest" / first.name, 10_000)
    seen: list[int] = []
    ingest("libero", [soup], out, OPTIONS, workers=1, progress=seen.append)
    assert seen[0] == (0 if cut else first.camera_frames)  # found encoded, told at once
    assert sum(seen) == plan.camera_frames
    assert (out / "shard-00000.tar").read_bytes() == in_one_go[0]


def test_killed_before_the_finished_parts_are_joined(
    soup: Path, plan: Plan, in_one_go: tuple[bytes, dict[str, ArrayStatistics]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    staging = Staging(out)
    staging.folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vpdata.ingest.worker._join", lambda *_: None)
        patch.setattr(Staging, "remove", lambda *_: None)
        for number in range(2):
            carry_out(task(plan, out, number), progress=lambda _: None)
    seen: list[int] = []
    ingest("libero", [soup], out, OPTIONS, workers=2, progress=seen.append)
    assert seen == [plan.camera_frames]
    assert (out / "shard-00000.tar").read_bytes() == in_one_go[0]


def test_a_changed_recording_is_never_taken_for_the_old_one(soup: Path, tmp_path: Path) -> None:
    """Size, name, time and inode are the same; one byte is not."""
    copy = tmp_path / "demos.hdf5"
    copy.write_bytes(soup.read_bytes())
    before = make_plan("libero", [copy], OPTIONS)
    stat = copy.stat()
    with copy.open("r+b") as file:
        file.seek(stat.st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (copy.stat().st_ino, copy.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert make_plan("libero", [copy], OPTIONS).digest() != before.digest()
