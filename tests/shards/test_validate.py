"""Validation of data sets that a real ingest made, whole and damaged."""

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from vpdata.errors import ShardError
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import to_parquet
from vpdata.shards.manifest import FileInfo, Manifest, read_manifest
from vpdata.shards.validate import validate


@pytest.fixture
def copy(datasets: Mapping[str, Path], tmp_path: Path) -> Path:
    """A data set that a test may damage."""
    return Path(shutil.copytree(datasets["robocasa"], tmp_path / "copy"))


def whats(path: Path, *, decode: bool = False) -> str:
    return "\n".join(f"{p.file} {p.key} {p.what}" for p in validate(path, decode=decode).problems)


@pytest.mark.parametrize("name", ["robocasa", "libero", "teleop", "video"])
def test_what_ingest_makes_is_whole(name: str, datasets: Mapping[str, Path]) -> None:
    checked: list[int] = []
    report = validate(datasets[name], decode=True, workers=2, progress=checked.append)
    assert report.problems == ()
    assert sum(checked) == report.num_shards > 0
    assert report.num_clips == len(Dataset.open(datasets[name]).clips)


def test_every_flipped_bit_is_found(copy: Path) -> None:
    shard = copy / read_manifest(copy)[0].shards[0].name
    data = bytearray(shard.read_bytes())
    rng = random.Random(1)
    headers = range(0, 512)
    end = range(len(data) - 1024, len(data))
    anywhere = range(len(data))
    for positions in (headers, end, anywhere):
        for _ in range(25):
            position, bit = rng.choice(positions), 1 << rng.randrange(8)
            data[position] ^= bit
            shard.write_bytes(data)
            found = validate(copy).problems
            assert [p.what for p in found if "SHA-256 is not" in p.what], position
            assert len(found) >= 2, position  # and the place: header, member, padding or end
            data[position] ^= bit
    shard.write_bytes(data)
    assert not validate(copy).problems


def test_every_truncation_is_found(copy: Path) -> None:
    dataset = Dataset.open(copy)
    clip = dataset.clips[1]
    shard = copy / clip.shard
    data = shard.read_bytes()
    member = clip.members[2]
    header = member.offset - 512
    for length in (0, 1, header, header + 100, member.offset, member.offset + member.size // 2, len(data) - 1024):
        os.truncate(shard, length)
        found = whats(copy)
        assert f"has {length} bytes, the manifest says {len(data)}" in found
        assert "does not end after the last clip" in found
        assert (clip.key in found) == (length < len(data) - 1024)
        shard.write_bytes(data)


def test_all_problems_are_listed(copy: Path) -> None:
    clips = Dataset.open(copy).clips
    shard = copy / clips[0].shard
    with shard.open("r+b") as file:
        for clip in clips[:3]:
            file.seek(clip.members[0].offset)
            file.write(b"\xff\x00\xff")
    (copy / "shard-99999.tar").write_bytes(b"stray")
    (copy / "notes.txt").write_text("mine")
    found = whats(copy)
    for clip in clips[:3]:
        assert f"{clip.key} actions.npy is damaged" in found
    assert "shard-99999.tar  is not part" in found
    assert "notes.txt  is not part" in found


def test_a_damaged_index_does_not_hide_a_damaged_shard(copy: Path) -> None:
    (copy / "index.parquet").write_bytes(b"nothing")
    shard = copy / read_manifest(copy)[0].shards[0].name
    os.truncate(shard, 10)
    found = whats(copy)
    assert "the index is damaged" in found
    assert "has 10 bytes" in found
    shard.unlink()
    assert f"{shard.name}  is missing." in whats(copy)


def _with_index(path: Path, change: Callable[[tuple[Clip, ...]], tuple[Clip, ...]]) -> None:
    """Replaces the index by another with a matching digest, as a faulty writer would."""
    manifest = read_manifest(path)[0]
    data = to_parquet(change(Dataset.open(path).clips))
    (path / "index.parquet").write_bytes(data)
    info = FileInfo(name="index.parquet", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    (path / "manifest.json").write_bytes(replace(manifest, index=info).to_bytes())


def test_an_index_that_disagrees_is_found(copy: Path) -> None:
    clips = Dataset.open(copy).clips
    _with_index(copy, lambda clips: clips[1:])
    found = whats(copy)
    assert "num_clips" in found
    assert f"{clips[1].key} does not begin where" in found
    _with_index(copy, lambda _: (*clips[:-1], replace(clips[-1], key=clips[0].key)))
    assert f"{clips[0].key} occurs 2 times" in whats(copy)
    _with_index(copy, lambda _: (*clips[:-1], replace(clips[-1], shard="shard-77777.tar")))
    assert "names shard-77777.tar, which the manifest does not" in whats(copy)
    _with_index(copy, lambda _: (replace(clips[0], members=clips[0].members[1:]), *clips[1:]))
    assert "has members" in whats(copy)
    episode = replace(clips[0].episode, instructions=("something else",))
    _with_index(copy, lambda _: (replace(clips[0], episode=episode), *clips[1:]))
    assert f"{clips[0].key} json does not say what the index says" in whats(copy)


def test_decoding_finds_what_checksums_cannot(copy: Path) -> None:
    """A writer that stored the wrong number of frames or rows would sign them with a right checksum."""
    dataset = Dataset.open(copy)
    clip = dataset.clips[0]
    span = replace(clip.span, stop=clip.span.stop - 1)
    _with_index(copy, lambda clips: (replace(clip, span=span, num_actions=clip.num_actions - 1), *clips[1:]))
    found = whats(copy, decode=True)
    assert f"wrist.mp4 has {clip.num_frames} frames, the index says {clip.num_frames - 1}" in found
    assert "actions.npy has shape" in found
    assert "wrist.mp4 has" not in whats(copy)


def test_clips_that_do_not_stand_together_are_found(copy: Path) -> None:
    _with_index(copy, lambda clips: (*clips[:3], replace(clips[3], shard="shard-77777.tar"), *clips[4:]))
    assert "the clips of a shard do not stand together" in whats(copy)


def test_wrong_statistics_are_found(copy: Path) -> None:
    manifest = read_manifest(copy)[0]
    space = "robocasa_panda_omron_action"
    statistics = manifest.statistics[space]
    wrong = replace(statistics, mean=(statistics.mean[0] + 1e-3, *statistics.mean[1:]))
    changed = replace(manifest, statistics={**manifest.statistics, space: wrong})
    (copy / "manifest.json").write_bytes(changed.to_bytes())
    assert whats(copy) == f"manifest.json  its statistics of {space} are not those of the shards."
    without = {name: kept for name, kept in manifest.statistics.items() if name != space}
    (copy / "manifest.json").write_bytes(replace(manifest, statistics=without).to_bytes())
    assert "has statistics of robocasa_panda_omron_state, the index names" in whats(copy)


@pytest.mark.parametrize("name", ["num_clips", "num_frames", "num_episodes", "num_labelled_clips"])
def test_a_wrong_count_is_found(copy: Path, name: str) -> None:
    manifest: Manifest = read_manifest(copy)[0]
    (copy / "manifest.json").write_bytes(replace(manifest, **{name: 3}).to_bytes())
    assert f"says {name} is 3" in whats(copy)


def test_no_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no data set here"):
        validate(tmp_path)
