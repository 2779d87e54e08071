"""The index: what its columns and records say is what went in, read in whatever way."""

import gc
import json
import multiprocessing
import tarfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vpdata.schema import Clip
from vpdata.shards import columns
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Clips, Index, to_parquet

NAMES = ("robocasa", "libero", "teleop", "video")


@pytest.fixture(params=NAMES)
def dataset(request: pytest.FixtureRequest, datasets: Mapping[str, Path]) -> Dataset:
    return Dataset.open(datasets[request.param])


@pytest.fixture
def robocasa(datasets: Mapping[str, Path]) -> Dataset:
    return Dataset.open(datasets["robocasa"])


def many(dataset: Dataset, count: int) -> list[Clip]:
    """Clips of as many episodes as there are clips, in a hundred shards."""
    (clip, *_) = dataset.clips
    return [
        replace(
            clip,
            key=f"clip-{i}",
            shard=f"shard-{100 * i // count:05d}.tar",
            episode=replace(clip.episode, content_digest=f"{i:064x}", instructions=(f"do {i}",)),
        )
        for i in range(count)
    ]


def test_columns_say_what_the_clips_say(dataset: Dataset) -> None:
    index, clips = dataset.index, list(dataset.clips)
    assert len(index) == len(clips) > 0
    numbers = {
        "start_frame": [clip.span.start for clip in clips],
        "stop_frame": [clip.span.stop for clip in clips],
        "num_starts": [clip.span.num_starts for clip in clips],
        "num_actions": [clip.num_actions for clip in clips],
        "episode_num_frames": [clip.episode.num_frames for clip in clips],
        "episode_num_actions": [clip.episode.num_actions for clip in clips],
    }
    for name, expected in numbers.items():
        assert index.numbers(name).dtype == np.int64
        assert index.numbers(name).tolist() == expected
    texts = {
        "key": [clip.key for clip in clips],
        "shard": [clip.shard for clip in clips],
        "codec": [clip.codec for clip in clips],
        "source": [clip.episode.source for clip in clips],
        "file": [clip.episode.file for clip in clips],
        "episode_id": [clip.episode.episode_id for clip in clips],
        "content_digest": [clip.episode.content_digest for clip in clips],
        "action_space": [clip.episode.action_space or "" for clip in clips],
        "state_space": [clip.episode.state_space or "" for clip in clips],
        "task": [clip.episode.task for clip in clips],
    }
    for name, values in texts.items():
        codes = index.codes(name)
        assert codes.codes.dtype == np.int32
        assert len(set(codes.values)) == len(codes.values)
        assert [codes.values[code] for code in codes.codes] == values
    assert index.fps().tolist() == [clip.episode.fps for clip in clips]


def test_columns_cannot_be_written_to(robocasa: Dataset) -> None:
    for column in (robocasa.index.numbers("num_starts"), robocasa.index.codes("task").codes, robocasa.index.fps()):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0


def test_unknown_columns_are_key_errors(robocasa: Dataset) -> None:
    for name in ("colour", "task", "member_sizes"):
        with pytest.raises(KeyError):
            robocasa.index.numbers(name)
    for name in ("colour", "num_starts", "member_sizes"):
        with pytest.raises(KeyError):
            robocasa.index.codes(name)


def test_a_frame_has_a_row_a_clip(dataset: Dataset) -> None:
    frame, clips = dataset.index.frame(), list(dataset.clips)
    assert len(frame) == len(clips)
    for row, clip in zip(frame.to_dict("records"), clips, strict=True):
        episode = clip.episode
        assert (row["key"], row["shard"], row["num_frames"]) == (clip.key, clip.shard, clip.num_frames)
        assert (row["start_frame"], row["stop_frame"]) == (clip.span.start, clip.span.stop)
        assert (row["num_starts"], row["num_actions"]) == (clip.span.num_starts, clip.num_actions)
        assert row["labelled"] == (clip.num_actions > 0)
        assert (row["source"], row["file"], row["episode_id"]) == (episode.source, episode.file, episode.episode_id)
        assert row["cameras"] == "+".join(camera.name for camera in episode.cameras)
        assert (row["height"], row["width"]) == (episode.cameras[0].height, episode.cameras[0].width)
        assert (row["action_space"], row["state_space"]) == (episode.action_space or "", episode.state_space or "")
        assert row["instruction"] == (episode.instructions[0] if episode.instructions else "")
        assert (row["task"], row["fps"]) == (episode.task, episode.fps)
        for name, value in episode.attributes.items():
            assert row[f"attribute_{name}"] == value


def test_a_frame_answers_queries_where_attributes_differ(robocasa: Dataset) -> None:
    attributes = [{"success": True}, {"success": False, "layout": 3}, {"operator": "ann"}, {}]
    clips = many(robocasa, 4)
    clips = [
        replace(clip, episode=replace(clip.episode, attributes=found, instructions=()))
        for clip, found in zip(clips, attributes, strict=True)
    ]
    frame = Index(to_parquet(clips)).frame()
    assert frame["attribute_operator"].tolist() == ["", "", "ann", ""]
    assert frame["instruction"].tolist() == [""] * 4
    assert frame.query("attribute_success == True")["key"].tolist() == ["clip-0"]
    assert frame.query("attribute_layout > 2")["key"].tolist() == ["clip-1"]
    assert frame.query("attribute_operator == 'ann' and task == 'CloseDrawer'")["key"].tolist() == ["clip-2"]


def test_a_layout_is_that_of_the_tar(dataset: Dataset) -> None:
    for shard in dataset.manifest.shards:
        clips = [dataset.clips[i] for i in dataset.index.rows_of(shard.name)]
        assert clips == [clip for clip in dataset.clips if clip.shard == shard.name]
        layout = dataset.index.layout(shard.name)
        with tarfile.open(dataset.path / shard.name) as tar:
            members = tar.getmembers()
        assert layout.offsets.tolist() == [member.offset_data for member in members]
        assert layout.sizes.tolist() == [member.size for member in members]
        assert layout.crc32.tolist() == [member.crc32 for clip in clips for member in clip.members]
        firsts = {f"{clip.key}.{clip.members[0].name}" for clip in clips}
        begins = [member.offset for member in members if member.name in firsts]
        assert [0, *layout.clip_ends.tolist()] == [*begins, shard.size - 1024]


def test_an_unknown_shard_is_empty(robocasa: Dataset) -> None:
    assert len(robocasa.index.rows_of("shard-77777.tar")) == 0
    layout = robocasa.index.layout("shard-77777.tar")
    assert [len(a) for a in (layout.offsets, layout.sizes, layout.crc32, layout.clip_ends)] == [0, 0, 0, 0]


def test_clips_are_a_sequence(robocasa: Dataset) -> None:
    clips = robocasa.clips
    everything = list(clips)
    assert clips[-1] == clips[len(clips) - 1] == everything[-1]
    assert clips[2:7:2] == tuple(everything[2:7:2])
    assert clips[::-1] == tuple(reversed(clips)) == tuple(everything[::-1])
    assert everything[3] in clips
    for i in (len(clips), -len(clips) - 1):
        with pytest.raises(IndexError):
            clips[i]


def test_row_groups_do_not_show(robocasa: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = many(robocasa, 103)
    whole = Index(to_parquet(clips))
    monkeypatch.setattr(columns, "_AT_ONCE", 7)
    assert to_parquet(iter(clips)) == to_parquet(clips)
    monkeypatch.setattr(columns, "_ROW_GROUP", 10)
    data = to_parquet(clips)
    assert pq.ParquetFile(pa.BufferReader(data)).num_row_groups == 11
    parts = Index(data)
    assert list(Clips(parts)) == list(Clips(whole)) == clips
    pd.testing.assert_frame_equal(parts.frame(), whole.frame())
    assert parts.layout("shard-00042.tar").offsets.tolist() == whole.layout("shard-00042.tar").offsets.tolist()


def test_no_object_is_kept_for_a_clip(robocasa: Dataset) -> None:
    count = 5000
    index = Index(to_parquet(many(robocasa, count)))
    gc.collect()
    before = len(gc.get_objects())
    for name in ("num_starts", "num_actions"):
        index.numbers(name)
    for name in ("shard", "task", "file", "episode_id"):
        index.codes(name)
    for i in range(count):
        index.clip(i)
    gc.collect()
    assert len(gc.get_objects()) < before + count // 2  # decoded instructions of the last clips may be kept


def test_other_programs_read_it(robocasa: Dataset) -> None:
    frame = pd.read_parquet(robocasa.path / "index.parquet")
    for row, clip in zip(frame.to_dict("records"), robocasa.clips, strict=True):
        assert row["key"] == clip.key
        assert json.loads(row["member_names"]) == [member.name for member in clip.members]
        assert row["member_offsets"].tolist() == [member.offset for member in clip.members]
        assert row["member_crc32s"].tolist() == [member.crc32 for member in clip.members]
        assert json.loads(row["cameras"])[0]["name"] == clip.episode.cameras[0].name
        assert tuple(json.loads(row["instructions"])) == clip.episode.instructions


def test_what_is_no_index_is_refused(robocasa: Dataset) -> None:
    other = pa.BufferOutputStream()
    pq.write_table(pa.table({"key": ["a"]}), other)
    with pytest.raises(ValueError, match="its columns are key"):
        Index(other.getvalue().to_pybytes())
    data = (robocasa.path / "index.parquet").read_bytes()
    for damaged in (b"", b"nothing", data[:-100]):
        with pytest.raises((pa.ArrowException, ValueError)):
            Index(damaged)


def _look(index: Index, i: int) -> tuple[str, int, str]:
    shard = index.codes("shard")
    return index.clip(i).key, int(index.numbers("num_starts")[i]), shard.values[shard.codes[i]]


def test_threads_may_share_an_unread_index(robocasa: Dataset) -> None:
    data = to_parquet(many(robocasa, 1000))
    expected = [_look(Index(data), i) for i in (0, 500, 999)]
    for _ in range(5):
        index = Index(data)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(partial(_look, index), (0, 500, 999) * 8)) == expected * 8


_SHARED: list[Index] = []


def _look_shared(i: int) -> tuple[str, int, str]:
    return _look(_SHARED[0], i)


@pytest.mark.parametrize("read_before", [False, True])
def test_a_forked_process_reads_on(robocasa: Dataset, read_before: bool) -> None:
    """Also the columns that its parent had not read, although Arrow's threads do not survive a fork."""
    index = Index(to_parquet(many(robocasa, 1000)))
    index.numbers("num_actions")
    expected = _look(Index(to_parquet(many(robocasa, 1000))), 7)
    if read_before:
        assert _look(index, 7) == expected
    _SHARED[:] = [index]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert pool.submit(_look_shared, 7).result(timeout=60) == expected
