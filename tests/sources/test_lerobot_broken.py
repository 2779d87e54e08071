"""LeRobot data sets that were downloaded in part, never closed, or contradict themselves: refused, the file named."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_sets import edit_json, edit_parquet, frames_of, write_video
from reading import describe, errors

from vpdata.errors import SourceError
from vpdata.schema import Episode

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
INFO = "meta/info.json"
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 58003\n"


@pytest.fixture
def av1(recordings: Path, tmp_path: Path) -> Path:
    """A copy of v30_av1 that may be changed."""
    return Path(shutil.copytree(recordings / "lerobot/v30_av1", tmp_path / "v30_av1"))


@pytest.fixture
def png(recordings: Path, tmp_path: Path) -> Path:
    """A copy of v30_png that may be changed."""
    return Path(shutil.copytree(recordings / "lerobot/v30_png", tmp_path / "v30_png"))


def usable(root: Path) -> list[str]:
    return [entry.episode_id for entry in describe("lerobot", root) if isinstance(entry, Episode)]


def set_column(path: Path, name: str, change: Callable[[list[object]], list[object]]) -> None:
    def changed(table: pa.Table) -> pa.Table:
        values = pa.array(change(table[name].to_pylist()), table.schema.field(name).type)
        return table.set_column(table.column_names.index(name), name, values)

    edit_parquet(path, changed)


@pytest.mark.parametrize("pointer", [False, True])
def test_missing_videos_are_named_and_cost_only_their_episodes(av1: Path, pointer: bool) -> None:
    lost = f"videos/{WRIST}/chunk-000/file-001.mp4"
    (av1 / lost).unlink()
    if pointer:
        (av1 / lost).write_text(POINTER)
    found = errors("lerobot", av1)
    assert list(found) == ["episode_000003"]
    assert lost in found["episode_000003"]
    assert "1 in all" in found["episode_000003"]
    assert "downloaded in part" in found["episode_000003"]
    assert usable(av1) == ["episode_000000", "episode_000001", "episode_000002"]


def test_missing_rows_are_named(av1: Path) -> None:
    (av1 / DATA).unlink()
    found = errors("lerobot", av1)
    assert len(found) == 4
    assert all(DATA in message for message in found.values())


@pytest.mark.parametrize("kept", [0, 4, 0.5, 0.99])
def test_parquet_that_was_never_closed(av1: Path, kept: float) -> None:
    data = (av1 / DATA).read_bytes()
    (av1 / DATA).write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    found = errors("lerobot", av1)
    assert len(found) == 4
    assert all("file-000.parquet" in message and "never closed" in message for message in found.values())


def test_episodes_that_were_never_closed(av1: Path) -> None:
    (av1 / EPISODES).write_bytes((av1 / EPISODES).read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"meta/episodes/.*never closed"):
        describe("lerobot", av1)


def test_a_missing_part_of_meta(av1: Path) -> None:
    edit_parquet(av1 / EPISODES, lambda table: table.slice(0, 2))
    with pytest.raises(SourceError, match="announces 4 episodes, and here are 2"):
        describe("lerobot", av1)
    (av1 / EPISODES).unlink()
    with pytest.raises(SourceError, match="there is no Parquet file"):
        describe("lerobot", av1)


def test_an_episode_that_comes_twice(av1: Path) -> None:
    edit_parquet(av1 / EPISODES, lambda table: pa.concat_tables([table.slice(0, 3), table.slice(0, 1)]))
    with pytest.raises(SourceError, match="comes twice"):
        describe("lerobot", av1)


def test_instructions_that_are_no_texts(av1: Path) -> None:
    edit_parquet(av1 / EPISODES, lambda table: table.append_column("instructions", [pa.array([None, [], [3], [4]])]))
    with pytest.raises(SourceError, match=r"instructions \[3\] of an episode"):
        describe("lerobot", av1)


@pytest.mark.parametrize("name", ["tasks.parquet", "info.json"])
def test_damaged_meta(av1: Path, name: str) -> None:
    (av1 / "meta" / name).write_bytes(b"not what it was")
    with pytest.raises(SourceError, match=name):
        describe("lerobot", av1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: info.update(codebase_version="v1.6"), r"'v1\.6'; v2\.0, v2\.1, v3\.0 are read.*Convert"),
        (lambda info: info.pop("fps"), "KeyError: 'fps'"),
        (lambda info: info.update(fps=0), r"info\.json: the recording was made at 0 fps, it says"),
        (lambda info: info["features"]["action"].pop("shape"), "KeyError: 'shape'"),
        (lambda info: info.update(video_path="{camera}.mp4"), "KeyError: 'camera'"),
    ],
)
def test_info_that_is_not_as_it_should_be(
    av1: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    edit_json(av1 / INFO, change)
    with pytest.raises(SourceError, match=message):
        describe("lerobot", av1)


def test_a_video_of_another_length_is_not_guessed_at(av1: Path) -> None:
    path = av1 / f"videos/{FRONT}/chunk-000/file-000.mp4"
    write_video(path, frames_of(path)[1:], codec="libx264")
    found = errors("lerobot", av1)
    assert list(found) == ["episode_000000", "episode_000001"]
    assert "has 72 frames, and the episodes in it have 73" in found["episode_000001"]


def test_rows_of_another_count(av1: Path) -> None:
    rows = pq.read_table(av1 / DATA)
    pq.write_table(pa.concat_tables([rows.slice(0, 72), rows.slice(73)]), av1 / DATA)
    assert "holds 32 rows of the episode, and meta/ says 33" in errors("lerobot", av1)["episode_000001"]


def test_rows_that_are_apart_or_out_of_order(av1: Path) -> None:
    rows = pq.read_table(av1 / DATA)
    moved = pa.concat_tables([rows.slice(39, 1), rows.slice(0, 39), rows.slice(41), rows.slice(40, 1)])
    pq.write_table(moved, av1 / DATA)
    found = errors("lerobot", av1)
    assert "does not count the rows from 0" in found["episode_000000"]
    assert "33 rows have episode_index 1, and not one after the other" in found["episode_000001"]
    assert usable(av1) == ["episode_000002", "episode_000003"]


def test_numbers_that_are_none(av1: Path) -> None:
    set_column(av1 / DATA, "action", lambda rows: [*rows[:41], [float("nan")] * 7, *rows[42:]])
    found = errors("lerobot", av1)
    assert list(found) == ["episode_000001"]
    assert "NaN or infinity in 1 of 33 steps, first at step 1" in found["episode_000001"]


def test_columns_that_info_announces_otherwise(av1: Path) -> None:
    edit_json(av1 / INFO, lambda info: info["features"]["action"].update(shape=[6], names=None))
    assert "action has shape (40, 7), not (steps, 6)" in errors("lerobot", av1)["episode_000000"]
    edit_json(av1 / INFO, lambda info: info["features"]["action"].update(shape=[7, 1]))
    assert "rows of numbers are read" in errors("lerobot", av1)["episode_000000"]
    edit_json(av1 / INFO, lambda info: info["features"]["action"].update(shape=[7]))
    edit_parquet(av1 / DATA, lambda table: table.drop_columns(["action"]))
    assert "no column 'action', which info.json announces" in errors("lerobot", av1)["episode_000000"]


def test_a_task_that_is_not_there(av1: Path) -> None:
    set_column(av1 / DATA, "task_index", lambda rows: [9, *rows[1:]])
    assert "task_index is 9, which is not among the 2 tasks" in errors("lerobot", av1)["episode_000000"]


@pytest.mark.parametrize(
    ("picture", "message"),
    [(None, "not in the file"), (b"\x89PNG\r\n\x1a\n then nothing", "does not decode")],
)
def test_pictures_that_are_missing_or_damaged(png: Path, picture: bytes | None, message: str) -> None:
    set_column(png / DATA, "observation.image", lambda rows: [*rows[:9], {"bytes": picture, "path": None}, *rows[10:]])
    found = errors("lerobot", png)
    assert list(found) == ["episode_000001, observation.image"]
    assert message in found["episode_000001, observation.image"]


def test_packed_data_sets_say_how_to_unpack(av1: Path, tmp_path: Path) -> None:
    task = tmp_path / "PickPlace/20250101"
    task.mkdir(parents=True)
    with tarfile.open(task / "lerobot.tar", "w") as tar:
        tar.add(av1, "lerobot")
    for place in (task / "lerobot.tar", tmp_path / "PickPlace"):
        with pytest.raises(SourceError, match=r"lerobot\.tar.*tar -xf lerobot\.tar"):
            describe("lerobot", place)


def test_places_without_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        describe("lerobot", tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"no LeRobot data set.*meta/info\.json"):
        describe("lerobot", tmp_path)
