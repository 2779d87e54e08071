"""Reading data sets that a real ingest made, whole and damaged."""

import gc
import hashlib
import json
import multiprocessing
import os
import pickle
import random
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from vpdata import codecs, sources
from vpdata.errors import DamageError, ShardError
from vpdata.schema import Clip
from vpdata.shards import store as store_module
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import to_parquet
from vpdata.shards.manifest import MANIFEST_NAME, FileInfo, read_manifest
from vpdata.shards.store import LocalStore
from vpdata.sources import SourceOptions
from vpdata.stats import ArrayStatistics


@pytest.fixture
def robocasa(datasets: Mapping[str, Path]) -> Dataset:
    return Dataset.open(datasets["robocasa"])


@pytest.fixture
def copy(datasets: Mapping[str, Path], tmp_path: Path) -> Path:
    """A data set that a test may damage."""
    return Path(shutil.copytree(datasets["robocasa"], tmp_path / "copy"))


def test_actions_are_bit_for_bit_those_of_the_recording(robocasa: Dataset, recordings: Path) -> None:
    assert len(robocasa.clips) > 8
    for clip in robocasa.clips:
        with h5py.File(recordings / "robocasa" / clip.episode.file) as file:
            recorded = file["data"][clip.episode.episode_id]["actions"][clip.span.start : clip.span.stop]
        actions = robocasa.actions(clip)
        assert actions is not None
        np.testing.assert_array_equal(actions, recorded, strict=True)


@pytest.mark.parametrize(("name", "folder"), [("libero", "libero"), ("teleop", "aloha"), ("robocasa", "robocasa")])
def test_arrays_and_frames_are_those_of_the_source(
    name: str, folder: str, datasets: Mapping[str, Path], recordings: Path
) -> None:
    source, dataset = sources.load(name), Dataset.open(datasets[name])
    options = SourceOptions()
    files = {file.name: file for file in source.find(recordings / folder)}
    clips = [clip for clip in dataset.clips if clip.episode.episode_id in ("demo_0", "episode_0")]
    assert clips
    for clip in clips:
        with source.open(files[clip.episode.file], clip.episode, options) as reader:
            actions, state = dataset.actions(clip), dataset.state(clip)
            assert actions is not None
            assert state is not None
            assert reader.actions is not None
            assert reader.state is not None
            inside = slice(clip.span.start, clip.span.stop)
            np.testing.assert_array_equal(actions, reader.actions[inside], strict=True)
            np.testing.assert_array_equal(state, reader.state[inside], strict=True)
            for camera in clip.episode.cameras:
                recorded = np.stack(list(reader.frames(camera.name, clip.span.start, clip.span.stop)))
                decoded = dataset.frames(clip, camera.name, range(clip.num_frames))
                error = np.square(decoded.astype(np.float64) - recorded).mean(axis=(1, 2, 3))
                assert (10 * np.log10(255**2 / error)).min() >= codecs.load("h264").min_psnr_db


def test_statistics_count_every_row_once(robocasa: Dataset, recordings: Path) -> None:
    rows = []
    for episode in {clip.episode.content_digest: clip.episode for clip in robocasa.clips}.values():
        with h5py.File(recordings / "robocasa" / episode.file) as file:
            rows.append(file["data"][episode.episode_id]["actions"][:])
    expected = ArrayStatistics.of(np.concatenate(rows))
    (space,) = {clip.episode.action_space for clip in robocasa.clips}
    found = robocasa.manifest.statistics[space or ""]
    assert (found.count, found.min, found.max) == (expected.count, expected.min, expected.max)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.std, expected.std, rtol=1e-9, atol=1e-9)


def test_action_free_clips_have_no_arrays(datasets: Mapping[str, Path]) -> None:
    dataset = Dataset.open(datasets["video"])
    assert dataset.manifest.num_labelled_clips == 0
    for clip in dataset.clips:
        assert (dataset.actions(clip), dataset.state(clip)) == (None, None)
        camera = clip.episode.cameras[0]
        assert dataset.frames(clip, camera.name, [0, -1 + clip.num_frames]).shape == (2, camera.height, camera.width, 3)


def test_the_index_comes_back_as_it_was(robocasa: Dataset) -> None:
    data = (robocasa.path / robocasa.manifest.index.name).read_bytes()
    assert to_parquet(robocasa.clips) == data


def test_the_manifest_comes_back_as_it_was(robocasa: Dataset) -> None:
    manifest, data = read_manifest(robocasa.path)
    assert manifest.to_bytes() == data
    assert str(robocasa.path.parent) not in data.decode()


def test_a_clip_read_at_once_is_its_members(robocasa: Dataset) -> None:
    for i, clip in enumerate(robocasa.clips):
        found = robocasa.read_clip(i)
        assert list(found) == [member.name for member in clip.members]
        for name, data in found.items():
            assert data == robocasa.read(clip, name)
    for i in (-1, len(robocasa.clips)):
        with pytest.raises(IndexError):
            robocasa.read_clip(i)


def test_damage_of_any_member_stops_a_clip_read_at_once(copy: Path) -> None:
    dataset = Dataset.open(copy)
    clip = dataset.clips[1]
    shard = copy / clip.shard
    shard.chmod(0o644)
    sound = shard.read_bytes()
    for member in clip.members:
        data = bytearray(sound)
        data[member.offset + member.size - 1] ^= 16
        shard.write_bytes(data)
        with pytest.raises(DamageError, match=f"{member.name} is damaged") as caught:
            dataset.read_clip(1)
        assert caught.value.episode == clip.key
        dataset.read_clip(0)
    shard.write_bytes(sound)
    dataset.read_clip(1)


def _read_first(dataset: Dataset) -> bytes:
    return dataset.read(dataset.clips[0], "json")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(robocasa: Dataset, method: str) -> None:
    expected = _read_first(robocasa)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        assert pool.submit(_read_first, robocasa).result() == expected
    assert _read_first(pickle.loads(pickle.dumps(robocasa))) == expected


def _read_start(dataset: Dataset, clip: Clip) -> int:
    start: int = json.loads(dataset.read(clip, "json"))["start_frame"]
    return start


def num_open() -> int:
    """Open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_threads_share_few_descriptors(datasets: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_OPEN_SHARDS", 1)
    dataset = Dataset.open(datasets["robocasa"])
    gc.collect()
    before = num_open()
    clips = list(dataset.clips) * 50
    random.Random(0).shuffle(clips)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(partial(_read_start, dataset), clips))
    assert read == [clip.span.start for clip in clips]
    assert num_open() <= before + 1


def test_the_shard_not_used_for_longest_is_closed(
    robocasa: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_OPEN_SHARDS", 2)
    shards = [replace(robocasa.manifest.shards[0], name=name, size=1) for name in "abc"]
    for shard in shards:
        (tmp_path / shard.name).write_text(shard.name)
    store = LocalStore(tmp_path)
    store.attach(replace(robocasa.manifest, shards=tuple(shards)), robocasa.index.layout)
    assert [store.read(name, 0, 1) for name in "abac"] == [b"a", b"b", b"a", b"c"]
    opened = {os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()}
    assert {name for name in "abc" if str(tmp_path / name) in opened} == {"a", "c"}


def test_no_flipped_bit_is_read(copy: Path) -> None:
    dataset = Dataset.open(copy)
    rng = random.Random(0)
    for _ in range(200):
        clip = rng.choice(dataset.clips)
        member = rng.choice(clip.members)
        path = copy / clip.shard
        position, bit = member.offset + rng.randrange(member.size), 1 << rng.randrange(8)
        _flip(path, position, bit)
        with pytest.raises(ShardError, match="damaged") as caught:
            dataset.read(clip, member.name)
        assert caught.value.episode == clip.key
        assert clip.shard in str(caught.value)
        _flip(path, position, bit)
        dataset.read(clip, member.name)


def _flip(path: Path, position: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ bit]))


def test_missing_and_cut_shards_are_refused(copy: Path) -> None:
    clip = Dataset.open(copy).clips[0]
    path = copy / clip.shard
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ShardError, match="the manifest says"):
        Dataset.open(copy).read(clip, "json")
    path.unlink()
    with pytest.raises(ShardError, match="missing"):
        Dataset.open(copy).read(clip, "json")


def test_a_foreign_index_or_manifest_is_refused(copy: Path, tmp_path: Path) -> None:
    index, manifest = copy / "index.parquet", copy / MANIFEST_NAME
    _flip(index, 100, 1)
    with pytest.raises(ShardError, match=r"index\.parquet: the index is damaged"):
        Dataset.open(copy)
    index.unlink()
    with pytest.raises(ShardError, match="the index is missing"):
        Dataset.open(copy)
    manifest.write_bytes(replace(read_manifest(copy)[0], format_version=1).to_bytes())
    with pytest.raises(ShardError, match="format version 1, but this vpdata reads version 2"):
        Dataset.open(copy)
    for text in ("", "[]", "{}", '{"format_version": 2}', '{"format_version": 2, "shards": 3}'):
        manifest.write_text(text)
        with pytest.raises(ShardError, match="the manifest is damaged"):
            Dataset.open(copy)
    with pytest.raises(ShardError, match="there is no data set here"):
        Dataset.open(tmp_path / "nowhere")


def test_what_a_clip_lacks_is_named(robocasa: Dataset) -> None:
    clip = robocasa.clips[0]
    with pytest.raises(ShardError, match="no camera 'top'; there are wrist"):
        robocasa.frames(clip, "top", [0])
    with pytest.raises(ShardError, match=r"no member top\.mp4; there are actions\.npy"):
        robocasa.read(clip, "top.mp4")
    with pytest.raises(ShardError, match=f"camera wrist: the video has {clip.num_frames} frames") as caught:
        robocasa.frames(clip, "wrist", [clip.num_frames])
    assert caught.value.episode == clip.key


def test_frames_are_written_where_they_are_wanted(robocasa: Dataset) -> None:
    clip = robocasa.clips[0]
    camera = clip.episode.cameras[0]
    out = np.full((4, camera.height, camera.width, 3), 7, np.uint8)
    robocasa.frames_into(clip, camera.name, [5, 0], out[1:3])
    np.testing.assert_array_equal(out[1:3], robocasa.frames(clip, camera.name, [5, 0]))
    assert (out[0] == 7).all()
    assert (out[3] == 7).all()


def test_a_pickled_data_set_is_its_place(robocasa: Dataset) -> None:
    _ = robocasa.clips[0]
    assert len(pickle.dumps(robocasa)) < 500
    again = pickle.loads(pickle.dumps(robocasa))
    assert (again.place, again.digest, again.manifest) == (robocasa.place, robocasa.digest, robocasa.manifest)


def test_reading_a_clip_needs_no_index(copy: Path) -> None:
    """So a worker that is sent clips never holds the columns of all others."""
    dataset = Dataset.open(copy)
    clip = dataset.clips[2]
    expected = dataset.read(clip, "json")
    again = pickle.loads(pickle.dumps(dataset))
    (copy / "index.parquet").unlink()
    assert again.read(clip, "json") == expected
    with pytest.raises(ShardError, match="the index is missing"):
        again.clips[2]


def test_a_replaced_data_set_is_refused_by_other_processes(copy: Path, datasets: Mapping[str, Path]) -> None:
    dataset = Dataset.open(copy)
    expected = _read_first(dataset)
    for name in ("index.parquet", MANIFEST_NAME):
        (copy / name).write_bytes((datasets["libero"] / name).read_bytes())
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with pool, pytest.raises(ShardError, match="was replaced while it was in use"):
        pool.submit(_read_first, dataset).result()
    assert _read_first(dataset) == expected  # what was read at first goes on


def test_an_index_replaced_alone_is_refused_by_other_processes(copy: Path, datasets: Mapping[str, Path]) -> None:
    sent = pickle.dumps(Dataset.open(copy))
    (copy / "index.parquet").write_bytes((datasets["libero"] / "index.parquet").read_bytes())
    with pytest.raises(ShardError, match="the index is damaged"):
        _read_first(pickle.loads(sent))


def test_a_shard_cut_off_while_open_is_named(copy: Path) -> None:
    dataset = Dataset.open(copy)
    clip = dataset.clips[0]
    member = clip.members[-1]
    dataset.read(clip, member.name)
    os.truncate(copy / clip.shard, member.offset + 10)
    with pytest.raises(ShardError, match=f"cut off while in use: byte {member.offset + 10} is missing") as caught:
        dataset.read(clip, member.name)
    assert clip.shard in str(caught.value)


def test_an_index_that_is_no_index_is_refused_although_it_is_the_manifests(copy: Path) -> None:
    data = b"PAR1 but nothing else PAR1"
    info = FileInfo(name="index.parquet", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    (copy / "index.parquet").write_bytes(data)
    (copy / MANIFEST_NAME).write_bytes(replace(read_manifest(copy)[0], index=info).to_bytes())
    with pytest.raises(ShardError, match=r"index\.parquet: the index cannot be read"):
        Dataset.open(copy)


class _Noting(LocalStore):
    """Notes what it is asked to fetch."""

    noted: list[tuple[str, int, int]]

    def prefetch(self, shard: str, offset: int, size: int) -> None:
        self.noted.append((shard, offset, size))


def test_only_what_will_be_read_is_fetched(robocasa: Dataset) -> None:
    store = _Noting(robocasa.path)
    store.noted = []
    clip = robocasa.clips[3]
    Dataset(store=store, digest=robocasa.digest).prefetch(clip, ["left", "top"])
    assert store.noted == [
        (clip.shard, member.offset, member.size)
        for member in clip.members
        if member.name not in ("wrist.mp4", "right.mp4")
    ]
    assert len(store.noted) == 4
