"""Data sets made of others that real ingests made; what must stay stays to the byte."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vpdata.errors import DamageError, MixtureError, SetError, ShardError
from vpdata.ingest import IngestOptions, ingest
from vpdata.mixture.split import Split
from vpdata.schema import Episode
from vpdata.sets import operations
from vpdata.sets.labels import Labels
from vpdata.sets.plan import SetPlan
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import Manifest, read_manifest
from vpdata.shards.staging import STAGING
from vpdata.shards.validate import validate

SHARD_FRAMES = 800


@pytest.fixture(scope="module")
def kitchen(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """RoboCasa in three shards. To be read only."""
    out = tmp_path_factory.mktemp("kitchen") / "kitchen"
    options = IngestOptions(clip_starts=40, window_span=32, shard_frames=SHARD_FRAMES)
    assert len(ingest("robocasa", [recordings / "robocasa"], out, options, workers=2).shards) == 3
    return Dataset.open(out)


@pytest.fixture(scope="module")
def libero(datasets: Mapping[str, Path]) -> Dataset:
    return Dataset.open(datasets["libero"])


def made(plan: SetPlan, out: Path, *, decode: bool = False) -> Dataset:
    """Carries a plan out, and requires that the result is whole."""
    write(plan, out)
    assert validate(out, decode=decode).problems == ()
    return Dataset.open(out)


def contents(dataset: Dataset) -> dict[str, dict[str, bytes]]:
    """Every member of every clip, by key and name."""
    return {clip.key: {m.name: dataset.read(clip, m.name) for m in clip.members} for clip in dataset.clips}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def in_tars(folder: Path) -> dict[str, bytes]:
    """Every member of every shard as Python's own `tarfile` reads it."""
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                file = tar.extractfile(info)
                assert file is not None
                found[info.name] = file.read()
    return found


def test_merge_filter_and_reshard_keep_every_clip_to_the_bit(kitchen: Dataset, libero: Dataset, tmp_path: Path) -> None:
    merged = made(operations.merge([kitchen, libero]), tmp_path / "merged")
    assert contents(merged) == contents(kitchen) | contents(libero)
    filtered = made(operations.keep(merged, "task != 'OpenDrawer' and num_frames > 40"), tmp_path / "filtered")
    sharded = made(operations.reshard(filtered, shard_frames=300, shuffle=5), tmp_path / "sharded", decode=True)
    assert len(sharded.manifest.shards) > 10
    ingested = in_tars(kitchen.path) | in_tars(libero.path)
    left = in_tars(sharded.path)
    assert left.items() <= ingested.items()
    assert len(left) < len(ingested)
    expected = {
        clip.key
        for dataset in (kitchen, libero)
        for clip in dataset.clips
        if clip.episode.task != "OpenDrawer" and clip.num_frames > 40
    }
    assert {clip.key for clip in sharded.clips} == expected
    assert [clip.key for clip in sharded.clips] != [clip.key for clip in filtered.clips]


def test_shards_of_the_first_size_are_those_of_the_ingest(kitchen: Dataset, tmp_path: Path) -> None:
    small = made(operations.reshard(kitchen, shard_frames=1), tmp_path / "small")
    assert len(small.manifest.shards) == len(small.clips)
    back = made(operations.reshard(small, shard_frames=SHARD_FRAMES), tmp_path / "back")
    assert {k: v for k, v in files(back.path).items() if k != "manifest.json"} == {
        k: v for k, v in files(kitchen.path).items() if k != "manifest.json"
    }
    assert back.manifest.shards == kitchen.manifest.shards
    assert back.manifest.statistics == kitchen.manifest.statistics
    assert back.manifest.duration_seconds == kitchen.manifest.duration_seconds
    assert back.manifest.num_episodes == kitchen.manifest.num_episodes


def test_statistics_and_counts_are_those_of_what_is_left(kitchen: Dataset, libero: Dataset, tmp_path: Path) -> None:
    merged = made(operations.merge([kitchen, libero]), tmp_path / "merged")
    assert merged.manifest.source == "libero+robocasa"
    assert merged.manifest.num_episodes == kitchen.manifest.num_episodes + libero.manifest.num_episodes
    left = made(operations.keep(merged, "task == 'CloseDrawer'"), tmp_path / "left")
    rows = [left.actions(clip)[: clip.span.num_starts] for clip in left.clips]  # type: ignore[index]
    values = np.concatenate(rows).astype(np.float64)
    (space,) = (name for name in left.manifest.statistics if "action" in name)
    statistics = left.manifest.statistics[space]
    assert statistics.count == len(values)
    np.testing.assert_allclose(statistics.mean, values.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(statistics.std, values.std(axis=0), atol=1e-12)
    assert statistics.min == tuple(values.min(axis=0))
    assert left.manifest.duration_seconds == pytest.approx(sum(clip.span.num_starts for clip in left.clips) / 20)


def test_the_manifest_says_where_it_comes_from(kitchen: Dataset, libero: Dataset, tmp_path: Path) -> None:
    merged = made(operations.merge([kitchen, libero]), tmp_path / "merged")
    left = made(operations.delete(merged, tasks=["OpenDrawer"]), tmp_path / "left")
    operation = left.manifest.operation
    assert operation is not None
    assert (operation.verb, operation.arguments["tasks"]) == ("delete", ["OpenDrawer"])
    (parent,) = operation.inputs
    assert parent.digest == merged.digest == hashlib.sha256((merged.path / "manifest.json").read_bytes()).hexdigest()
    assert parent.operation is not None
    assert [one.digest for one in parent.operation.inputs] == [kitchen.digest, libero.digest]
    assert parent.operation.inputs[0].options == kitchen.manifest.options
    assert b"operation" not in (kitchen.path / "manifest.json").read_bytes()


def test_equal_operations_give_equal_bytes_wherever_the_inputs_lie(kitchen: Dataset, tmp_path: Path) -> None:
    elsewhere = Dataset.open(shutil.copytree(kitchen.path, tmp_path / "elsewhere"))
    one = made(operations.reshard(kitchen, shard_frames=400), tmp_path / "one")
    other = made(operations.reshard(elsewhere, shard_frames=400), tmp_path / "other")
    assert files(one.path) == files(other.path)
    before = {path.name: path.stat().st_mtime_ns for path in one.path.iterdir()}
    write(operations.reshard(kitchen, shard_frames=400), one.path)
    assert {path.name: path.stat().st_mtime_ns for path in one.path.iterdir()} == before


def test_a_recording_in_two_data_sets_is_refused_unless_named(
    kitchen: Dataset, datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    drawers = made(operations.keep(kitchen, "task == 'OpenDrawer'"), tmp_path / "drawers")
    again = Dataset.open(datasets["robocasa"])
    with pytest.raises(SetError, match=r"OpenDrawer.*the recording is in .*drawers already.*--keep-first"):
        operations.merge([drawers, again])
    both = made(operations.merge([drawers, again], keep_first=True), tmp_path / "both")
    assert contents(both) == contents(again)
    assert {clip.key for clip in both.clips[: len(drawers.clips)]} == {clip.key for clip in drawers.clips}


def test_clips_that_are_missing_in_an_episode_are_named(kitchen: Dataset, tmp_path: Path) -> None:
    left = made(operations.keep(kitchen, "start_frame > 0"), tmp_path / "left")
    missing = [clip for clip in kitchen.clips if clip.span.start == 0]
    kept = {clip.episode.content_digest for clip in left.clips}
    assert [clip.key for clip in left.manifest.dropped] == [
        clip.key for clip in missing if clip.episode.content_digest in kept
    ]
    assert left.manifest.dropped[0].reason == "left out by the filter 'start_frame > 0'."
    again = made(operations.reshard(left, shard_frames=300), tmp_path / "again")
    assert again.manifest.dropped == left.manifest.dropped


def test_a_subset_is_of_whole_episodes_and_in_larger_ones(kitchen: Dataset, libero: Dataset, tmp_path: Path) -> None:
    assert kitchen.manifest.num_episodes == 4
    merged = made(operations.merge([kitchen, libero]), tmp_path / "merged")
    chosen = [
        {one.content_digest for one in episodes_of(operations.subset(dataset, num_episodes=number, seed=3))}
        for dataset, number in ((kitchen, 1), (kitchen, 2), (kitchen, 4), (merged, merged.manifest.num_episodes))
    ]
    assert [len(some) for some in chosen[:3]] == [1, 2, 4]
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
    assert episodes_of(operations.subset(kitchen, num_episodes=1, seed=3)) != episodes_of(
        operations.subset(kitchen, num_episodes=1, seed=4)
    )
    left = made(operations.subset(kitchen, num_episodes=2, seed=3), tmp_path / "left")
    expected = [clip.key for clip in kitchen.clips if clip.episode.content_digest in chosen[1]]
    assert [clip.key for clip in left.clips] == expected
    assert left.manifest.dropped == ()
    with pytest.raises(SetError, match="there are 4 episodes, not 5"):
        operations.subset(kitchen, num_episodes=5)


def episodes_of(plan: SetPlan) -> list[Episode]:
    return [plan.clip(i).episode for i in range(len(plan.rows))]


def test_delete(kitchen: Dataset, tmp_path: Path) -> None:
    first = kitchen.clips[0].episode
    name = f"{first.file}::{first.episode_id}"
    left = made(operations.delete(kitchen, episodes=[name], query="attribute_style_id == 5"), tmp_path / "left")
    gone = [clip for clip in kitchen.clips if clip.episode == first or clip.episode.attributes["style_id"] == 5]
    assert len(gone) > len([clip for clip in gone if clip.episode == first]) > 0
    assert {c.key for c in left.clips} == {c.key for c in kitchen.clips} - {c.key for c in gone}
    assert left.manifest.dropped == ()
    assert first.content_digest.encode() not in (left.path / "manifest.json").read_bytes()
    with pytest.raises(SetError, match="no such episode"):
        operations.delete(kitchen, episodes=["a::b"])
    with pytest.raises(SetError, match="no task 'Nothing'"):
        operations.delete(kitchen, tasks=["Nothing"])
    with pytest.raises(SetError, match="no clip is left"):
        operations.delete(kitchen, tasks=["OpenDrawer", "CloseDrawer"])
    with pytest.raises(SetError, match="nothing to delete"):
        operations.delete(kitchen)


def test_relabel_changes_what_is_said_and_no_video(kitchen: Dataset, tmp_path: Path) -> None:
    labels = Labels(
        instructions=("shut it",),
        task="Shut",
        cameras={"wrist": "zoom", "left": "wrist"},
        attributes={"scene": "lab 2", "success": False},
    )
    plan = operations.relabel(kitchen, labels, query="task == 'CloseDrawer'")
    new = made(plan, tmp_path / "new", decode=True)
    assert [clip.key for clip in new.clips] == [clip.key for clip in kitchen.clips]
    for old, clip in zip(kitchen.clips, new.clips, strict=True):
        if old.episode.task == "OpenDrawer":
            assert replace(clip, members=old.members, shard=old.shard) == old
            continue
        assert clip.episode == labels.of(old.episode)
        assert [camera.name for camera in clip.episode.cameras] == ["zoom", "wrist", "right"]
        for name, was in {"zoom.mp4": "wrist.mp4", "wrist.mp4": "left.mp4", "actions.npy": "actions.npy"}.items():
            assert new.read(clip, name) == kitchen.read(old, was)
        record = json.loads(new.read(clip, "json"))
        assert (record["task"], record["instructions"]) == ("Shut", ["shut it"])
        assert record["attributes"]["scene"] == "lab 2"
    assert new.manifest.statistics.keys() == kitchen.manifest.statistics.keys()


def test_relabel_refuses_what_cannot_be_meant(kitchen: Dataset) -> None:
    with pytest.raises(SetError, match="nothing to change"):
        Labels()
    with pytest.raises(SetError, match=r"outside a-z 0-9 _"):
        Labels(cameras={"wrist": "Wrist"})
    with pytest.raises(SetError, match=r"no episode has a camera 'front'.*left, right, wrist"):
        operations.relabel(kitchen, Labels(cameras={"front": "back"}))
    with pytest.raises(SetError, match="holds for some clips of this episode"):
        operations.relabel(kitchen, Labels(task="a"), query="start_frame > 0")
    with pytest.raises(SetError, match="would be called right, left, right"):
        Labels(cameras={"wrist": "right"}).of(kitchen.clips[0].episode)


def test_the_sides_of_a_split_are_two_data_sets(kitchen: Dataset, libero: Dataset, tmp_path: Path) -> None:
    merged = made(operations.merge([kitchen, libero]), tmp_path / "merged")
    split = Split(by="episode", share=Fraction(1, 2), seed=1)
    sides = [made(operations.keep_side(merged, split, held_out=side), tmp_path / f"{side}") for side in (True, False)]
    assert contents(sides[0]) | contents(sides[1]) == contents(merged)
    assert not set(contents(sides[0])) & set(contents(sides[1]))
    joined = made(operations.merge(sides), tmp_path / "joined")
    assert contents(joined) == contents(merged)


def test_what_is_already_there_is_left_alone(kitchen: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(operations.reshard(kitchen, shard_frames=400), out)
    before = files(out)
    with pytest.raises(ShardError, match="holds another data set"):
        write(operations.reshard(kitchen, shard_frames=401), out)
    with pytest.raises(ShardError, match="holds another data set"):
        write(operations.reshard(kitchen, shard_frames=400), kitchen.path)
    assert files(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ShardError, match="holds other files"):
        write(operations.reshard(kitchen), tmp_path / "mine")


def test_damage_is_found_and_never_copied(kitchen: Dataset, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kitchen.path, tmp_path / "damaged"))
    clip = kitchen.clips[4]
    with (folder / clip.shard).open("r+b") as file:
        file.seek(clip.members[-1].offset + 9)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(DamageError, match=f"{clip.key}.*is damaged"):
        write(operations.reshard(Dataset.open(folder), shard_frames=400), tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_shards_that_stay_whole_are_the_inputs(kitchen: Dataset, libero: Dataset, tmp_path: Path) -> None:
    """Whether their SHA-256 was known or computed anew, as of those that other clips follow."""
    again = made(operations.reshard(kitchen), tmp_path / "again")
    assert again.manifest.shards == kitchen.manifest.shards
    assert {k: v for k, v in files(again.path).items() if k != "manifest.json"} == {
        k: v for k, v in files(kitchen.path).items() if k != "manifest.json"
    }
    merged = made(operations.merge([kitchen, libero], shard_frames=SHARD_FRAMES), tmp_path / "merged")
    same = [info for info in merged.manifest.shards if info in kitchen.manifest.shards]
    assert 0 < len(same) < len(merged.manifest.shards)
    for info in merged.manifest.shards:
        assert hashlib.sha256((merged.path / info.name).read_bytes()).hexdigest() == info.sha256


CRC32 = 0b1_0000_0100_1100_0001_0001_1101_1011_0111
"""The generator: bits that may change together, in the order of the stream, without any CRC-32 showing it."""


def test_damage_that_no_crc_shows_stays_damage(kitchen: Dataset, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kitchen.path, tmp_path / "damaged"))
    clip = kitchen.clips[0]
    member = next(member for member in clip.members if member.name == "left.mp4")
    mask = int(f"{CRC32:040b}"[::-1], 2).to_bytes(5, "little")  # the stream begins with the lowest bit of a byte
    with (folder / clip.shard).open("r+b") as file:
        file.seek(member.offset + 500)
        data = file.read(5)
        file.seek(member.offset + 500)
        file.write(bytes(byte ^ bit for byte, bit in zip(data, mask, strict=True)))
    damaged = Dataset.open(folder)
    assert damaged.read(clip, "left.mp4") != kitchen.read(clip, "left.mp4")
    write(operations.reshard(damaged), tmp_path / "out")
    problems = validate(tmp_path / "out", decode=False).problems
    assert [(problem.file, problem.what) for problem in problems] == [
        (clip.shard, "its SHA-256 is not the manifest's.")
    ]


def test_a_damaged_header_is_written_anew(kitchen: Dataset, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kitchen.path, tmp_path / "damaged"))
    with (folder / kitchen.clips[0].shard).open("r+b") as file:
        file.write(b"?")
    healed = made(operations.reshard(Dataset.open(folder)), tmp_path / "healed")
    assert healed.manifest.shards == kitchen.manifest.shards


def test_a_wrong_condition_is_an_error(kitchen: Dataset) -> None:
    with pytest.raises(MixtureError, match="no column 'colour'"):
        operations.keep(kitchen, "colour == 1")
    with pytest.raises(MixtureError, match="none of 11 clips"):
        operations.keep(kitchen, "fps > 1000")


def test_another_version_of_vpdata_may_have_written_an_input(
    kitchen: Dataset, recordings: Path, tmp_path: Path
) -> None:
    package = Path(__file__).parents[2] / "vpdata"
    shutil.copytree(package, tmp_path / "old" / "vpdata", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "old" / "vpdata" / "__init__.py").write_text('"""An older one."""\n\n__version__ = "0.0.9"\n')
    source = next((recordings / "libero").glob("open_the_middle*"))
    arguments = ["-m", "vpdata", "ingest", "libero", str(source), "--out", str(tmp_path / "libero")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "old")}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=tmp_path, env=environment)
    old = Dataset.open(tmp_path / "libero")
    assert old.manifest.tool_version == "0.0.9"
    alone = made(operations.reshard(old, shard_frames=400), tmp_path / "alone")
    assert contents(alone) == contents(old)
    both = made(operations.merge([kitchen, old]), tmp_path / "both")
    assert both.manifest.operation is not None
    assert [one.tool_version for one in both.manifest.operation.inputs] == [kitchen.manifest.tool_version, "0.0.9"]
    found = contents(both)
    for key, members in contents(old).items():
        assert {n: d for n, d in found[key].items() if n != "json"} == {n: d for n, d in members.items() if n != "json"}


def reshard_command(dataset: Dataset, out: Path) -> list[str]:
    return [sys.executable, "-m", "vpdata", "reshard", str(dataset.path), "--shard-frames", "1", "--out", str(out)]


def test_a_killed_operation_goes_on_and_ends_with_the_same_bytes(kitchen: Dataset, tmp_path: Path) -> None:
    expected = files(made(operations.reshard(kitchen, shard_frames=1), tmp_path / "expected").path)
    num_shards = len(expected) - 2
    for number, wanted in enumerate((1, num_shards // 2, num_shards)):
        out = tmp_path / f"out-{number}"
        process = subprocess.Popen(reshard_command(kitchen, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list((out / STAGING).glob("*.tar.json"))) < wanted:
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert process.returncode == -signal.SIGKILL or wanted == num_shards
        finished = {path.name.removesuffix(".json") for path in (out / STAGING).glob("*.tar.json")}
        nodes = {path.name: path.stat().st_ino for path in out.rglob("*.tar") if path.name in finished}
        manifest: Manifest = write(operations.reshard(kitchen, shard_frames=1), out)
        assert files(out) == expected
        assert read_manifest(out)[0] == manifest
        assert {name: (out / name).stat().st_ino for name in nodes} == nodes
