"""`vpdata info` as a user runs it, against what the clips say."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from vpdata.cli.info import MAX_SHOWN
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import to_parquet
from vpdata.shards.manifest import FileInfo, Skipped


def info(*arguments: object) -> str:
    command = [sys.executable, "-m", "vpdata", "info", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_it_says_what_the_clips_say(datasets: Mapping[str, Path]) -> None:
    described = json.loads(info(*datasets.values(), "--json"))
    for folder, found in zip(datasets.values(), described, strict=True):
        dataset = Dataset.open(folder)
        clips = list(dataset.clips)
        assert (found["path"], found["digest"]) == (str(folder), dataset.digest)
        assert found["clips"] == len(clips)
        assert found["fps"] == sorted({clip.episode.fps for clip in clips})
        assert set(found["cameras"]) == {f"{c.name} {c.height}x{c.width}" for x in clips for c in x.episode.cameras}
        assert found["codecs"] == ["h264"]
        assert set(found["action_spaces"]) == {clip.episode.action_space for clip in clips} - {None}
        assert set(found["state_spaces"]) == {clip.episode.state_space for clip in clips} - {None}
        assert set(found["tasks"]) == {clip.episode.task for clip in clips} - {""}
        assert set(found["instructions"]) == {text for clip in clips for text in clip.episode.instructions}
        assert found["labelled_share"] == sum(clip.num_actions > 0 for clip in clips) / len(clips)
        assert found["dropped"] == []


@pytest.fixture
def talkative(datasets: Mapping[str, Path], tmp_path: Path) -> Path:
    """A data set of many instructions, with something left out."""
    copy = Path(shutil.copytree(datasets["robocasa"], tmp_path / "copy"))
    dataset = Dataset.open(copy)
    texts = tuple(f"do thing {i}" for i in range(MAX_SHOWN + 5))
    clips = [replace(clip, episode=replace(clip.episode, instructions=texts)) for clip in dataset.clips]
    data = to_parquet(clips)
    (copy / "index.parquet").write_bytes(data)
    index = FileInfo(name="index.parquet", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    skipped = (Skipped(file="a.hdf5", episode="", reason="no images"),)
    (copy / "manifest.json").write_bytes(replace(dataset.manifest, index=index, skipped=skipped).to_bytes())
    return copy


def test_long_lists_are_cut_for_people_only(talkative: Path) -> None:
    shown = info(talkative)
    assert f"do thing {MAX_SHOWN - 1}" in shown
    assert f"do thing {MAX_SHOWN}" not in shown
    assert "and 5 more" in shown
    assert "a.hdf5, no images" in shown
    (found,) = json.loads(info(talkative, "--json"))
    assert found["instructions"] == [f"do thing {i}" for i in range(MAX_SHOWN + 5)]
