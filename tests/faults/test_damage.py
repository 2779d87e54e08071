"""Damage to finished shards: every cut and every flipped bit is found, and no damaged byte is ever returned."""

import os
import random
import shutil
from pathlib import Path

import pytest

from vpdata.clips.encode import ClipOptions
from vpdata.errors import ShardError
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset
from vpdata.shards.tar import END
from vpdata.shards.validate import validate

OPTIONS = IngestOptions(clip=ClipOptions(height=32, width=32), clip_starts=20, window_span=8)
NUM_FLIPS = 1_000


@pytest.fixture(scope="module")
def small(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small shard of several clips with three cameras, actions and states."""
    out = tmp_path_factory.mktemp("small") / "out"
    manifest = ingest("robocasa", [recordings / "robocasa/v0.1/single_stage/kitchen_drawer/OpenDrawer"], out, OPTIONS)
    assert len(manifest.shards) == 1
    assert manifest.num_clips > 4
    return out


def test_every_one_of_a_thousand_flipped_bits_is_found_and_none_is_returned(small: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "copy"))
    dataset = Dataset.open(folder)
    clips = tuple(dataset.clips)
    sound = {(clip.key, member.name): dataset.read(clip, member.name) for clip in clips for member in clip.members}
    shard = folder / dataset.manifest.shards[0].name
    rng = random.Random(3)
    found = refused = 0
    with shard.open("r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        for _ in range(NUM_FLIPS):
            position, bit = rng.randrange(size), 1 << rng.randrange(8)
            byte = os.pread(file.fileno(), 1, position)[0]
            os.pwrite(file.fileno(), bytes([byte ^ bit]), position)
            problems = validate(folder).problems
            found += any("SHA-256 is not" in p.what for p in problems) and len(problems) >= 2  # and the place
            hit = [(c, m) for c in clips for m in c.members if m.offset <= position < m.offset + m.size]
            for clip, member in hit:
                with pytest.raises(ShardError, match="is damaged"):
                    dataset.read(clip, member.name)
                refused += 1
            neighbour = rng.choice(clips)
            for member in neighbour.members:
                if (neighbour, member) not in hit:
                    assert dataset.read(neighbour, member.name) == sound[neighbour.key, member.name]
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert found == NUM_FLIPS
    assert refused > NUM_FLIPS / 2  # most of a shard is data
    assert not validate(folder).problems


def test_every_cut_is_found_and_gives_no_partial_sample(small: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "copy"))
    clips = tuple(Dataset.open(folder).clips)
    shard = folder / clips[0].shard
    data = shard.read_bytes()
    lengths = {"end of file": len(data) - len(END), "half the end of file": len(data) - len(END) // 2}
    for clip in clips:
        for member in clip.members:
            lengths[f"{clip.key} {member.name} mid-payload"] = member.offset + member.size // 2
            lengths[f"{clip.key} {member.name} at the header"] = member.offset - 512
            lengths[f"{clip.key} {member.name} inside the header"] = member.offset - 300
            lengths[f"{clip.key} {member.name} after the header"] = member.offset
    for where, length in lengths.items():
        os.truncate(shard, length)
        what = " ".join(problem.what for problem in validate(folder).problems)
        assert f"has {length} bytes, the manifest says {len(data)}" in what, where
        assert "does not end after the last clip" in what, where
        dataset = Dataset.open(folder)
        for clip in clips:
            for member in clip.members:
                with pytest.raises(ShardError, match=f"the shard has {length} bytes"):
                    dataset.read(clip, member.name)
        shard.write_bytes(data)
    assert len(lengths) > 100


def test_a_shard_cut_while_it_is_read(small: Path, tmp_path: Path) -> None:
    """The file was whole when it was opened: the read itself finds that bytes are missing."""
    folder = Path(shutil.copytree(small, tmp_path / "copy"))
    dataset = Dataset.open(folder)
    clip = dataset.clips[-1]
    dataset.read(clip, "json")
    os.truncate(folder / clip.shard, clip.members[0].offset + 1)
    with pytest.raises(ShardError):
        dataset.read(clip, clip.members[0].name)
