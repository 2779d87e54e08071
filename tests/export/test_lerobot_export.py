"""LeRobot exports read as the format says, and by our own reader; `test_lerobot_itself.py` has LeRobot read them."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from seen import actions_of, decoded, frames_of, psnr, state_of

from vpdata import spaces
from vpdata.errors import ExportError, ShardError
from vpdata.export.lerobot import LeRobotOptions, export_lerobot
from vpdata.export.runs import assemble
from vpdata.export.statistics import of_rows
from vpdata.ingest import IngestOptions, ingest
from vpdata.sets import operations
from vpdata.sets.labels import Labels
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions

VERSIONS = ("3.0", "2.1")
LIMITS: dict[str, Any] = {"max_video_bytes": 300_000, "max_data_bytes": 12_000}
"""So that the kitchen needs several files of each kind."""


@pytest.fixture(scope="module")
def exports(kitchen: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The kitchen in both versions. To be read only."""
    root = tmp_path_factory.mktemp("exports")
    for version in VERSIONS:
        export_lerobot([kitchen], root / version, LeRobotOptions(format_version=version, robot_type="panda", **LIMITS))
    return {version: root / version for version in VERSIONS}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def loaded(path: Path) -> Any:
    return json.loads(path.read_text())


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def data_of(root: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(root.glob("data/*/*.parquet"))])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_frames_table(exports: Mapping[str, Path], kitchen: Dataset, version: str) -> None:
    runs, data = assemble([kitchen]), data_of(exports[version])
    lengths = [run.num_frames for run in runs]
    np.testing.assert_array_equal(np.stack(data["action"].to_list()), actions_of(runs))
    np.testing.assert_array_equal(np.stack(data["observation.state"].to_list()), state_of(runs))
    np.testing.assert_array_equal(data["index"], np.arange(sum(lengths)))
    np.testing.assert_array_equal(data["episode_index"], np.repeat(np.arange(4), lengths))
    np.testing.assert_array_equal(data["frame_index"], np.concatenate([np.arange(n) for n in lengths]))
    assert data["timestamp"].dtype == np.float32
    np.testing.assert_array_equal(data["timestamp"], (data["frame_index"].to_numpy() / 20).astype(np.float32))
    info = loaded(exports[version] / "meta/info.json")
    assert (info["codebase_version"], info["fps"], info["robot_type"]) == (f"v{version}", 20, "panda")
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (4, sum(lengths), 2)
    assert info["splits"] == {"train": "0:4"}
    names = [dimension.name for dimension in spaces.load("robocasa_panda_omron_action").dimensions]
    assert info["features"]["action"]["names"] == names
    assert info["features"]["action"]["dtype"] == "float32"
    assert info["features"]["observation.images.wrist"]["shape"] == [128, 128, 3]


def test_episodes_and_their_places_in_v30(exports: Mapping[str, Path], kitchen: Dataset) -> None:
    root, runs = exports["3.0"], assemble([kitchen])
    info, episodes = loaded(root / "meta/info.json"), pd.read_parquet(root / "meta/episodes")
    tasks = pd.read_parquet(root / "meta/tasks.parquet")
    assert tasks.index.to_list() == ["close the right drawer", "open the left drawer"]
    assert len(list(root.glob("data/*/*"))) > 1
    shown: dict[Path, np.ndarray] = {}
    for number, (run, (_, row)) in enumerate(zip(runs, episodes.iterrows(), strict=True)):
        assert (row["episode_index"], row["length"]) == (number, run.num_frames)
        assert list(row["tasks"]) == [run.episode.instructions[0]]
        path = root / info["data_path"].format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])
        assert number in set(pd.read_parquet(path)["episode_index"])
        for camera in ("wrist", "left", "right"):
            key = f"observation.images.{camera}"
            place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
            path = root / info["video_path"].format(video_key=key, **place)
            first = round(row[f"videos/{key}/from_timestamp"] * 20)
            assert first / 20 == row[f"videos/{key}/from_timestamp"]
            assert (first + run.num_frames) / 20 == row[f"videos/{key}/to_timestamp"]
            video = shown.setdefault(path, decoded(path))
            quality = psnr(video[first : first + run.num_frames], frames_of(run, camera))
            assert quality.min() > 36
            assert np.isinf(quality).mean() > 0.8
    assert len(shown) > 3
    assert sum(map(len, shown.values())) == 3 * info["total_frames"]


def test_episodes_in_v21(exports: Mapping[str, Path], kitchen: Dataset) -> None:
    root, runs = exports["2.1"], assemble([kitchen])
    info = loaded(root / "meta/info.json")
    assert (info["total_videos"], info["total_chunks"]) == (12, 1)
    tasks = {line["task"]: line["task_index"] for line in lines(root / "meta/tasks.jsonl")}
    for number, (run, line) in enumerate(zip(runs, lines(root / "meta/episodes.jsonl"), strict=True)):
        text = run.episode.instructions[0]
        assert line == {"episode_index": number, "tasks": [text], "length": run.num_frames}
        place = {"episode_chunk": 0, "episode_index": number}
        data = pd.read_parquet(root / info["data_path"].format(**place))
        assert set(data["task_index"]) == {tasks[text]}
        path = root / info["video_path"].format(video_key="observation.images.left", **place)
        assert psnr(decoded(path), frames_of(run, "left")).min() > 36


def test_modality_for_gr00t(exports: Mapping[str, Path]) -> None:
    modality = loaded(exports["2.1"] / "meta/modality.json")
    assert modality["action"] == {"action": {"start": 0, "end": 12, "original_key": "action"}}
    assert modality["state"] == {"state": {"start": 0, "end": 16, "original_key": "observation.state"}}
    assert modality["video"]["wrist"] == {"original_key": "observation.images.wrist"}
    assert modality["annotation"] == {"human.task_description": {"original_key": "task_index"}}
    assert {"mean", "std", "min", "max", "q01", "q99"} <= set(loaded(exports["2.1"] / "meta/stats.json")["action"])


def test_statistics(exports: Mapping[str, Path], kitchen: Dataset) -> None:
    runs = assemble([kitchen])
    total = loaded(exports["3.0"] / "meta/stats.json")
    assert total == loaded(exports["2.1"] / "meta/stats.json")
    assert set(total) == set(loaded(exports["3.0"] / "meta/info.json")["features"])
    assert total["action"] == of_rows(actions_of(runs)).to_json()
    assert total["index"]["max"] == [sum(run.num_frames for run in runs) - 1]
    frames = np.concatenate([frames_of(run, "left") for run in runs]) / 255
    np.testing.assert_allclose(np.ravel(total["observation.images.left"]["mean"]), frames.mean((0, 1, 2)), atol=0.005)
    assert np.shape(total["observation.images.left"]["q50"]) == (3, 1, 1)
    rows = pq.read_table(exports["3.0"] / "meta/episodes").to_pydict()
    for number, line in enumerate(lines(exports["2.1"] / "meta/episodes_stats.jsonl")):
        assert line["stats"]["action"] == of_rows(actions_of(runs[number : number + 1])).to_json()
        for feature, statistics in line["stats"].items():
            for name, values in statistics.items():
                assert rows[f"stats/{feature}/{name}"][number] == values


@pytest.mark.parametrize("version", VERSIONS)
def test_ingested_again_it_is_what_was_exported(
    exports: Mapping[str, Path], kitchen: Dataset, tmp_path: Path, version: str
) -> None:
    ingest("lerobot", [exports[version]], tmp_path / "again", IngestOptions(clip_starts=40, window_span=32), workers=2)
    again, runs = assemble([Dataset.open(tmp_path / "again")]), assemble([kitchen])
    np.testing.assert_array_equal(actions_of(again), actions_of(runs))
    np.testing.assert_array_equal(state_of(again), state_of(runs))
    for one, other in zip(again, runs, strict=True):
        assert one.num_frames == other.num_frames
        for name in ("fps", "instructions", "action_space", "state_space"):
            assert getattr(one.episode, name) == getattr(other.episode, name)
        assert {camera.name for camera in one.episode.cameras} == {"wrist", "left", "right"}


@pytest.mark.parametrize("version", VERSIONS)
def test_float64_keeps_every_bit(small: Dataset, tmp_path: Path, version: str) -> None:
    runs = assemble([small])
    exported = export_lerobot([small], tmp_path / "out", LeRobotOptions(format_version=version, dtype="float64"))
    assert exported.num_frames == sum(run.episode.num_actions for run in runs)
    data = data_of(tmp_path / "out")
    np.testing.assert_array_equal(np.stack(data["action"].to_list()), np.concatenate([run.actions() for run in runs]))
    assert loaded(tmp_path / "out/meta/info.json")["features"]["action"]["dtype"] == "float64"


@pytest.mark.parametrize("version", VERSIONS)
def test_without_actions_there_is_no_such_feature(footage: Dataset, tmp_path: Path, version: str) -> None:
    out = tmp_path / "out"
    export_lerobot([footage], out, LeRobotOptions(format_version=version))
    features = loaded(out / "meta/info.json")["features"]
    assert set(features) == set(data_of(out).columns) | {"observation.images.main"}
    assert "action" not in features
    assert features["observation.images.main"]["shape"] == [48, 66, 3]  # as the video: sizes are even
    ingest("lerobot", [out], tmp_path / "again", IngestOptions(clip_starts=40, window_span=32), workers=2)
    again = Dataset.open(tmp_path / "again")
    assert [run.num_frames for run in assemble([again])] == [run.num_frames for run in assemble([footage])]
    assert {run.episode.instructions for run in assemble([again])} == {()}


def test_further_instructions(kitchen: Dataset, tmp_path: Path) -> None:
    labels = Labels(instructions=("shut it", "push it in"), task=None, cameras={}, attributes={})
    write(operations.relabel(kitchen, labels, query="task == 'CloseDrawer'"), tmp_path / "labelled")
    labelled = Dataset.open(tmp_path / "labelled")
    for version in VERSIONS:
        export_lerobot([labelled], tmp_path / version, LeRobotOptions(format_version=version))
    expected = [list(run.episode.instructions) for run in assemble([labelled])]
    assert ["shut it", "push it in"] in expected
    episodes = pq.read_table(tmp_path / "3.0/meta/episodes").to_pylist()
    for rows in (episodes, lines(tmp_path / "2.1/meta/episodes.jsonl")):
        assert [row["instructions"] for row in rows] == expected
        assert [row["tasks"] for row in rows] == [texts[:1] for texts in expected]


def test_the_same_bytes_on_any_number_of_workers(exports: Mapping[str, Path], kitchen: Dataset, tmp_path: Path) -> None:
    seen: list[int] = []
    for version in VERSIONS:
        options = LeRobotOptions(format_version=version, robot_type="panda", **LIMITS)
        made = export_lerobot([kitchen], tmp_path / version, options, workers=1, progress=seen.append)
        assert contents(tmp_path / version) == contents(exports[version])
        assert sum(seen) == made.num_camera_frames
        seen.clear()
        assert export_lerobot([kitchen], tmp_path / version, options, progress=seen.append) == made
        assert not seen  # it was there already
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(VERSIONS)


def test_what_is_at_out_stays(exports: Mapping[str, Path], kitchen: Dataset, tmp_path: Path) -> None:
    before = contents(exports["3.0"])
    with pytest.raises(ExportError, match="an export of other data or options"):
        export_lerobot([kitchen], exports["3.0"], LeRobotOptions())
    assert contents(exports["3.0"]) == before
    notes = tmp_path / "out.partial/notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(ExportError, match=r"what no export left \(notes\.txt\)"):
        export_lerobot([kitchen], tmp_path / "out", LeRobotOptions())
    with pytest.raises(ExportError, match="something is there already"):
        export_lerobot([kitchen], notes.parent, LeRobotOptions())
    assert notes.read_text() == "mine"


def test_a_rate_that_is_no_whole_number_is_refused(recordings: Path, tmp_path: Path) -> None:
    options = IngestOptions(source=SourceOptions(fps=23.976))
    ingest("video", [recordings / "video/libero_spatial_bowl_003_hevc.mp4"], tmp_path / "film", options, workers=1)
    with pytest.raises(ExportError, match=r"23\.976 frames a second, .* --fps 24"):
        export_lerobot([Dataset.open(tmp_path / "film")], tmp_path / "out", LeRobotOptions())
    assert not (tmp_path / "out").exists()


def test_damage_is_an_error_and_leaves_nothing_at_out(small: Dataset, tmp_path: Path) -> None:
    write(operations.reshard(small), tmp_path / "data")
    damaged = Dataset.open(tmp_path / "data")
    clip = damaged.clips[1]
    member = next(member for member in clip.members if member.name == "front.mp4")
    with (tmp_path / "data" / clip.shard).open("r+b") as file:
        file.seek(member.offset + member.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(ShardError, match=r"front\.mp4 is damaged"):
        export_lerobot([damaged], tmp_path / "out", LeRobotOptions())
    assert not (tmp_path / "out").exists()


def command(dataset: Dataset, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "vpdata", "export", "lerobot", dataset.place, "--out", str(out), *options]


@pytest.mark.parametrize("version", VERSIONS)
def test_killed_it_goes_on_with_the_videos_that_were_whole(kitchen: Dataset, tmp_path: Path, version: str) -> None:
    export_lerobot([kitchen], tmp_path / "reference", LeRobotOptions(format_version=version))
    out, pieces = tmp_path / "out", tmp_path / "out.partial/pieces"
    out.mkdir()
    while out.exists():  # again, if it was finished before it could be killed
        shutil.rmtree(out)
        process = subprocess.Popen(command(kitchen, out, "--format-version", version, "--workers", "1"))
        while not list(pieces.glob("*.json")) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {path.name: path.stat().st_ino for path in pieces.glob("*.mp4") if path.with_suffix(".json").exists()}
    assert kept
    export_lerobot([kitchen], out, LeRobotOptions(format_version=version), workers=1)
    assert contents(out) == {
        name: data.replace(b"local/reference", b"local/out") for name, data in contents(tmp_path / "reference").items()
    }
    assert not pieces.parent.exists()
    if version == "2.1":
        made = {path.stat().st_ino for path in out.rglob("*.mp4")}
        assert set(kept.values()) <= made  # moved, not made again


def test_a_full_disk_is_an_error_and_leaves_nothing_at_out(kitchen: Dataset, tmp_path: Path) -> None:
    limits = (10_000, 100_000)  # within a video of one episode; within the joined ones
    for limit in limits:
        out = tmp_path / str(limit)
        done = subprocess.run(
            command(kitchen, out),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),  # noqa: B023
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "File too large" in done.stderr
        assert "Make room" in done.stderr
        assert not out.exists()
        export_lerobot([kitchen], out, LeRobotOptions())
        assert not out.with_name(f"{limit}.partial").exists()
