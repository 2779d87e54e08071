"""Parquet files that hold videos, as `datasets` writes them."""

from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import describe, episodes, errors, read

from vpdata.errors import SourceError
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions

NAMES = ("libero_object_soup_000.mp4", "libero10_basket_002_5fps.mp4", "libero_object_soup_single_frame.mp4")


@pytest.fixture
def videos(recordings: Path) -> list[bytes]:
    return [(recordings / "video" / name).read_bytes() for name in NAMES]


@pytest.mark.parametrize("rows_a_group", [1, 2, 10])
@pytest.mark.parametrize("is_struct", [True, False])
def test_every_row_is_an_episode(
    recordings: Path, videos: list[bytes], tmp_path: Path, rows_a_group: int, is_struct: bool
) -> None:
    held = [{"bytes": data, "path": name} for name, data in zip(NAMES, videos, strict=True)] if is_struct else videos
    columns = {"video": held, "caption": ["reach", "tidy up", None], "license": ["MIT"] * 3, "score": [1, 2, 3]}
    path = tmp_path / "train-00000-of-00001.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=rows_a_group)
    found = episodes("video", path)
    assert [episode.episode_id for episode in found] == ["row_1", "row_2", "row_3"]
    assert [episode.instructions for episode in found] == [("reach",), ("tidy up",), ()]
    assert {episode.attributes["licence"] for episode in found} == {"MIT"}
    for episode, name in zip(found[::-1], NAMES[::-1], strict=True):
        (alone,) = episodes("video", recordings / "video" / name)
        expected = read("video", recordings / "video" / name, alone)[0]["main"]
        np.testing.assert_array_equal(read("video", path, episode)[0]["main"], expected)


def test_the_hubs_own_writer(recordings: Path, tmp_path: Path) -> None:
    paths = [{"path": None, "bytes": (recordings / "video" / name).read_bytes()} for name in NAMES]
    features = datasets.Features({"video": datasets.Video(), "text": datasets.Value("string")})
    written = datasets.Dataset.from_dict({"video": paths, "text": ["a", "b", "c"]}, features=features)
    written.to_parquet(str(tmp_path / "a.parquet"))
    found = episodes("video", tmp_path / "a.parquet")
    assert [(episode.num_frames, episode.instructions) for episode in found] == [
        (147, ("a",)),
        (found[1].num_frames, ("b",)),
        (1, ("c",)),
    ]


def test_a_table_becomes_a_data_set(videos: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"video": videos, "caption": ["a", "b", "c"]}), tmp_path / "data" / "train.parquet")
    ingest("video", [tmp_path / "data"], tmp_path / "out", IngestOptions(), workers=2)
    clips = list(Dataset.open(tmp_path / "out").clips)
    assert [(clip.episode.episode_id, clip.episode.instructions) for clip in clips] == [
        ("row_1", ("a",)),
        ("row_2", ("b",)),
        ("row_3", ("c",)),
    ]


def test_bad_rows_are_told(videos: list[bytes], tmp_path: Path) -> None:
    held = [{"bytes": data, "path": "x"} for data in (videos[2], None, b"text")]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"video": held, "caption": ["a", "b", "c"]}), path)
    found = errors("video", path)
    assert sorted(found) == ["row_2", "row_3"]
    assert "holds no bytes of a video" in found["row_2"]
    assert "does not recognise this as a video" in found["row_3"]


def test_columns(videos: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"number": [1]}), path)
    with pytest.raises(SourceError, match=r"not one column of videos; columns of bytes: none.*a column 'path'"):
        describe("video", path)
    pq.write_table(pa.table({"front": [videos[1]], "wrist": [videos[2]]}), path)
    with pytest.raises(SourceError, match=r"columns of bytes: front, wrist. Choose one with --camera NAME=COLUMN"):
        describe("video", path)
    options = SourceOptions(cameras={"hand": "wrist"})
    (episode,) = episodes("video", path, options)
    assert (episode.cameras[0].recorded_name, len(read("video", path, episode, options)[0]["hand"])) == ("wrist", 1)


def test_damaged_tables(videos: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"video": videos}), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match="the Parquet file is damaged"):
        describe("video", path)
