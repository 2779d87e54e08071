"""Shards are plain WebDataset: what other tools read from them is what went in."""

import io
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import datasets as hf
import numpy as np
import pytest
import webdataset

from vpdata.shards.dataset import Dataset


@pytest.fixture
def robocasa(datasets: Mapping[str, Path]) -> Dataset:
    return Dataset.open(datasets["robocasa"])


def shards(dataset: Dataset) -> list[str]:
    return [str(dataset.path / shard.name) for shard in dataset.manifest.shards]


def test_tar(robocasa: Dataset, tmp_path: Path) -> None:
    for shard in shards(robocasa):
        done = subprocess.run(["tar", "-xf", shard, "-C", tmp_path], capture_output=True, text=True, check=True)
        assert done.stderr == ""
    for clip in robocasa.clips:
        for member in clip.members:
            assert (tmp_path / f"{clip.key}.{member.name}").read_bytes() == robocasa.read(clip, member.name)
    assert len(list(tmp_path.iterdir())) == sum(len(clip.members) for clip in robocasa.clips)


def test_webdataset(robocasa: Dataset) -> None:
    samples = list(webdataset.WebDataset(shards(robocasa), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [clip.key for clip in robocasa.clips]
    for sample, clip in zip(samples, robocasa.clips, strict=True):
        for member in clip.members:
            assert sample[member.name] == robocasa.read(clip, member.name)


@pytest.mark.parametrize("streaming", [True, False])
def test_hugging_face_datasets(
    robocasa: Dataset, streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", tmp_path)
    files = {"train": shards(robocasa)}
    loaded = hf.load_dataset(
        "webdataset", data_files=files, split="train", streaming=streaming, cache_dir=str(tmp_path)
    )
    for camera in robocasa.clips[0].episode.cameras:
        loaded = loaded.cast_column(f"{camera.name}.mp4", hf.Video(decode=False))
    rows = list(loaded)
    assert [row["__key__"] for row in rows] == [clip.key for clip in robocasa.clips]
    for row, clip in zip(rows, robocasa.clips, strict=True):
        np.testing.assert_array_equal(np.array(row["actions.npy"]), robocasa.actions(clip))
        assert row["wrist.mp4"]["bytes"] == robocasa.read(clip, "wrist.mp4")
        assert row["json"]["start_frame"] == json.load(io.BytesIO(robocasa.read(clip, "json")))["start_frame"]
