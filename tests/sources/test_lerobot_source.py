"""LeRobot: what is read equals what LeRobot itself decodes, wherever an episode lies and however its set is written."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lerobot_sets import edit_json, edit_parquet, frames_of, write_jsonl, write_v21, write_video
from reading import assert_same_frames, describe, episodes, read

from tests.hub.server import Hub
from vpdata import sources, spaces
from vpdata.errors import SourceError
from vpdata.ingest import IngestOptions, ingest
from vpdata.schema import Episode
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions
from vpdata.sources.lerobot_meta import read_layout
from vpdata.sources.lerobot_spaces import space_of

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
LANGUAGE = "pick up the alphabet soup and place it in the basket"
INFO = "meta/info.json"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
LENGTHS = [40, 33, 25, 30]


@pytest.fixture(scope="session")
def v21(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The episodes of v30_av1 as v2.1: H.264 and HEVC, a file an episode. To be read only."""
    out = tmp_path_factory.mktemp("v21") / "v21"
    write_v21(recordings / "lerobot/v30_av1", out)
    return out


@pytest.fixture
def av1(recordings: Path, tmp_path: Path) -> Path:
    """A copy of v30_av1 that may be changed."""
    return Path(shutil.copytree(recordings / "lerobot/v30_av1", tmp_path / "v30_av1"))


@pytest.fixture
def png(recordings: Path, tmp_path: Path) -> Path:
    """A copy of v30_png that may be changed."""
    return Path(shutil.copytree(recordings / "lerobot/v30_png", tmp_path / "v30_png"))


def feature(root: Path, key: str, **said: object) -> None:
    edit_json(root / INFO, lambda info: info["features"].setdefault(key, {}).update(said))


def one_space(root: Path, kind: str = "action") -> str | None:
    return {getattr(episode, f"{kind}_space") for episode in episodes("lerobot", root)}.pop()


def test_describes_a_data_set(recordings: Path) -> None:
    found = episodes("lerobot", recordings / "lerobot/v30_av1")
    assert [(e.episode_id, e.num_frames, e.num_actions) for e in found] == [
        (f"episode_{number:06d}", length, length) for number, length in enumerate(LENGTHS)
    ]
    first = found[0]
    assert [(c.name, c.recorded_name, c.height, c.width) for c in first.cameras] == [
        ("wrist", WRIST, 64, 64),
        ("front", FRONT, 64, 64),
    ]
    assert (first.source, first.file, first.fps) == ("lerobot", "v30_av1", 20.0)
    assert first.task == LANGUAGE.replace(" ", "_")
    assert first.action_space == "action:x,y,z,roll,pitch,yaw,gripper"
    assert first.state_space == f"state:{','.join(f'panda_{i}' for i in range(8))}"
    assert first.attributes == {"robot_type": "panda"}
    assert [e.instructions for e in found] == [(LANGUAGE,)] * 3 + [(LANGUAGE, "hold the alphabet soup")]


@pytest.mark.parametrize("name", ["v30_av1", "v30_png"])
def test_frames_and_rows_are_those_that_lerobot_decodes(recordings: Path, name: str) -> None:
    root = recordings / "lerobot" / name
    decoded = json.loads((recordings / "lerobot/decoded.json").read_text())[name]
    found = episodes("lerobot", root)
    assert [episode.episode_id for episode in found] == list(decoded)
    plugin = sources.load("lerobot")
    for episode in found:
        theirs = decoded[episode.episode_id]
        with plugin.open(plugin.find(root)[0], episode, SourceOptions()) as reader:
            for camera in episode.cameras:
                shown = np.stack(list(reader.frames(camera.name, 0, episode.num_frames)))
                assert hashlib.sha256(shown.tobytes()).hexdigest() == theirs[camera.recorded_name]
            for rows, key in ((reader.actions, "action"), (reader.state, "observation.state")):
                assert rows is not None
                assert rows.dtype == np.float32
                assert hashlib.sha256(rows.tobytes()).hexdigest() == theirs[key]


def test_pictures_in_parquet_and_the_old_key(recordings: Path) -> None:
    found = episodes("lerobot", recordings / "lerobot/v30_png")
    assert [(e.num_frames, e.attributes) for e in found] == [(9, {"success": False}), (7, {"success": True})]
    assert [(c.name, c.recorded_name) for c in found[0].cameras] == [("image", "observation.image")]


@pytest.mark.parametrize("name", ["v30_av1", "v30_png"])
def test_overlapping_ranges_give_the_same_frames(recordings: Path, name: str) -> None:
    root = recordings / "lerobot" / name
    plugin, episode = sources.load("lerobot"), episodes("lerobot", root)[1]
    camera, length = episode.cameras[0].name, episode.num_frames
    with plugin.open(plugin.find(root)[0], episode, SourceOptions()) as reader:
        whole = np.stack(list(reader.frames(camera, 0, length)))
        for start, stop in ((0, 5), (3, length), (length - 1, length)):
            assert_same_frames(np.stack(list(reader.frames(camera, start, stop))), whole[start:stop])
        assert list(reader.frames(camera, 4, 4)) == []
        with pytest.raises(IndexError):
            next(reader.frames(camera, 0, length + 1))
        with pytest.raises(KeyError):
            next(reader.frames("nowhere", 0, 1))


def test_version_2_1_holds_the_same(recordings: Path, v21: Path) -> None:
    shared = recordings / "lerobot/v30_av1"
    for ours, theirs in zip(episodes("lerobot", v21), episodes("lerobot", shared), strict=True):
        assert (ours.num_frames, ours.instructions) == (theirs.num_frames, theirs.instructions)
        assert (ours.action_space, ours.state_space) == (theirs.action_space, theirs.state_space)
        frames, actions, state = read("lerobot", v21, ours)
        for camera in ours.cameras:
            path = v21 / f"videos/chunk-000/{camera.recorded_name}/{ours.episode_id}.mp4"
            assert_same_frames(frames[camera.name], np.stack(frames_of(path)))
        _, their_actions, their_state = read("lerobot", shared, theirs)
        np.testing.assert_array_equal(actions, their_actions)
        np.testing.assert_array_equal(state, their_state)


def test_an_episode_that_begins_within_a_group_of_pictures(av1: Path) -> None:
    path = av1 / f"videos/{FRONT}/chunk-000/file-000.mp4"
    write_video(path, frames_of(path), codec="libx264")
    decoded = np.stack(frames_of(path))
    found = episodes("lerobot", av1)
    np.testing.assert_array_equal(read("lerobot", av1, found[0])[0]["front"], decoded[:40])
    np.testing.assert_array_equal(read("lerobot", av1, found[1])[0]["front"], decoded[40:])


def test_only_the_frames_of_the_episode_are_decoded(av1: Path, recordings: Path) -> None:
    path = av1 / f"videos/{WRIST}/chunk-000/file-000.mp4"
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        places = [(packet.pos, packet.size) for packet in packets[:50]]
    data = bytearray(path.read_bytes())
    for position, size in places:  # those of the first episode, and ten of the second
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    plugin, whole = sources.load("lerobot"), recordings / "lerobot/v30_av1"
    for episode in episodes("lerobot", whole)[2:]:
        with plugin.open(plugin.find(av1)[0], episode, SourceOptions()) as reader:
            shown = np.stack(list(reader.frames("wrist", 0, episode.num_frames)))
        assert_same_frames(shown, read("lerobot", whole, episode)[0]["wrist"])
    with (
        plugin.open(plugin.find(av1)[0], episodes("lerobot", whole)[0], SourceOptions()) as reader,
        pytest.raises(SourceError, match=r"file-000\.mp4"),
    ):
        list(reader.frames("wrist", 0, 40))


@given(
    lengths=st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=6), min_size=1, max_size=4),
    drift=st.floats(-0.4, 0.4),
)
@settings(max_examples=25)
def test_places_in_shared_videos_are_sums_of_lengths(lengths: list[list[int]], drift: float) -> None:
    rows: list[dict[str, Any]] = []
    for file, of_file in enumerate(lengths):
        ends = np.cumsum(of_file).tolist()
        for length, end in zip(of_file, ends, strict=True):
            seconds = (end - length + drift) / 20
            at = {"data/chunk_index": 0, "data/file_index": 0, f"videos/{FRONT}/chunk_index": 0}
            at |= {f"videos/{FRONT}/file_index": file, f"videos/{FRONT}/from_timestamp": seconds}
            rows.append({"episode_index": len(rows), "length": length, **at})
    info = {
        "codebase_version": "v3.0",
        "fps": 20,
        "total_episodes": len(rows),
        "data_path": "data/{chunk_index}/{file_index}.parquet",
        "video_path": "{video_key}/{chunk_index}/{file_index}.mp4",
        "features": {FRONT: {"dtype": "video", "shape": [64, 64, 3]}},
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "meta/episodes").mkdir(parents=True)
        (root / INFO).write_text(json.dumps(info))
        pq.write_table(pa.table({"task_index": [0], "task": ["go"]}), root / "meta/tasks.parquet")
        pq.write_table(pa.Table.from_pylist(rows[::-1]), root / "meta/episodes/0.parquet")
        layout = read_layout(root)
    taken = {f"{FRONT}/0/{file}.mp4": [False] * sum(of_file) for file, of_file in enumerate(lengths)}
    for entry, row in zip(layout.entries, rows, strict=True):
        stretch = entry.videos[FRONT]
        assert stretch.num_frames == len(taken[stretch.file])
        assert stretch.start == round(row[f"videos/{FRONT}/from_timestamp"] * 20 - drift)
        frames = range(stretch.start, stretch.start + entry.num_frames)
        assert not any(taken[stretch.file][frame] for frame in frames)
        for frame in frames:
            taken[stretch.file][frame] = True
    assert all(all(frames) for frames in taken.values())


def test_times_that_disagree_change_nothing_and_are_reported(av1: Path, recordings: Path) -> None:
    key = f"videos/{FRONT}/from_timestamp"

    def later(seconds: float) -> Callable[[pa.Table], pa.Table]:
        def change(table: pa.Table) -> pa.Table:
            times = table[key].to_numpy() + np.array([0, seconds, 0, 0])
            return table.set_column(table.column_names.index(key), key, pa.array(times))

        return change

    edit_parquet(av1 / EPISODES, later(0.02))  # of 0.05 a frame
    assert "max_time_error_seconds" not in episodes("lerobot", av1)[1].attributes
    edit_parquet(av1 / EPISODES, later(0.1))
    found = episodes("lerobot", av1)
    assert [e.attributes.get("max_time_error_seconds") for e in found] == [None, pytest.approx(0.12), None, None]
    whole = recordings / "lerobot/v30_av1"
    frames, theirs = (read("lerobot", root, episodes("lerobot", root)[1])[0]["front"] for root in (av1, whole))
    np.testing.assert_array_equal(frames, theirs)


@pytest.mark.parametrize("text", ["task", "__index_level_0__", "description"])
def test_task_texts_are_found_whatever_their_column_is_called(av1: Path, text: str) -> None:
    table = pq.read_table(av1 / "meta/tasks.parquet")
    assert "__index_level_0__" in table.column_names  # as LeRobot writes it: the index of a pandas table
    pq.write_table(table.rename_columns([{"__index_level_0__": text}.get(n, n) for n in table.column_names]), av1 / "x")
    (av1 / "x").replace(av1 / "meta/tasks.parquet")
    assert episodes("lerobot", av1)[3].instructions == (LANGUAGE, "hold the alphabet soup")


NAMES = ["pan", "lift", "elbow", "roll", "flex", "turn", "jaw"]


@pytest.mark.parametrize(
    "names",
    [NAMES, [NAMES], {"motors": NAMES}, {"arm": NAMES[:6], "hand": NAMES[6:]}, {n: i for i, n in enumerate(NAMES)}],
)
def test_names_in_every_nesting(av1: Path, names: object) -> None:
    feature(av1, "action", names=names)
    assert one_space(av1) == "action:pan,lift,elbow,roll,flex,turn,jaw"


@pytest.mark.parametrize("names", [None, ["dim"], [*NAMES[:6], NAMES[0]], {"axes": None}])
def test_columns_without_usable_names_are_numbered_after_the_robot(av1: Path, names: object) -> None:
    feature(av1, "action", names=names)
    assert one_space(av1) == f"action:{','.join(f'panda_{i}' for i in range(7))}"
    edit_json(av1 / INFO, lambda info: info.update(robot_type="so100 follower"))
    assert one_space(av1) == f"action:{','.join(f'so100_follower_{i}' for i in range(7))}"
    edit_json(av1 / INFO, lambda info: info.update(robot_type="unknown"))
    assert one_space(av1) == f"action:{','.join(f'v30_av1_{i}' for i in range(7))}"


def test_names_that_only_number_say_the_robot_too(av1: Path) -> None:
    feature(av1, "action", names=[f"joint_{i}" for i in range(7)])
    assert one_space(av1) == f"action:{','.join(f'panda_joint_{i}' for i in range(7))}"


def test_known_spaces(av1: Path) -> None:
    libero = [dimension.name for dimension in spaces.load("libero_panda_state").dimensions]
    feature(av1, "observation.state", names=libero)
    assert one_space(av1, "state") == "libero_panda_state"
    pose = tuple(dimension.name for dimension in spaces.load("eef_pose_base_action").dimensions)
    assert pose == tuple(dimension.name for dimension in spaces.load("eef_pose_world_action").dimensions)
    feature(av1, "action", names=pose, shape=[len(pose)])
    layout = read_layout(av1)
    assert space_of("action", layout.features["action"], layout, dataset="d") == f"action:{','.join(pose)}"
    feature(av1, "action", shape=[7])
    feature(av1, "action", space="osc_pose_action")
    assert one_space(av1) == "osc_pose_action"
    for wrong, message in (("nothing", "no action or state space"), ("aloha_action", "is not in the action space")):
        feature(av1, "action", space=wrong)
        assert message in str(describe("lerobot", av1)[0])


def test_without_actions_it_is_action_free(av1: Path) -> None:
    edit_json(av1 / INFO, lambda info: info["features"].pop("action"))
    episode = episodes("lerobot", av1)[0]
    assert (episode.num_actions, episode.action_space, episode.num_frames) == (0, None, 40)
    assert read("lerobot", av1, episode)[1] is None


def test_paths_follow_the_templates(av1: Path, v21: Path, tmp_path: Path) -> None:
    digests = [e.content_digest for e in episodes("lerobot", av1)]
    (av1 / "data/chunk-000/file-000.parquet").rename(av1 / "rows_0_0")
    for key in (FRONT, WRIST):
        for number in (0, 1):
            (av1 / f"videos/{key}/chunk-000/file-00{number}.mp4").rename(av1 / f"{number}_{key}_0.mp4")
    paths = {"data_path": "rows_{chunk_index}_{file_index}", "video_path": "{file_index}_{video_key}_{chunk_index}.mp4"}
    edit_json(av1 / INFO, lambda info: info.update(paths))
    assert [e.content_digest for e in episodes("lerobot", av1)] == digests

    root = Path(shutil.copytree(v21, tmp_path / "v21"))
    (root / "videos/chunk-000").rename(root / "seen")
    seen = {"video_path": "seen/{video_key}/episode_{episode_index:06d}.mp4", "chunks_size": 3}
    edit_json(root / INFO, lambda info: info.update(seen))
    (root / "data/chunk-001").mkdir()
    (root / "data/chunk-000/episode_000003.parquet").rename(root / "data/chunk-001/episode_000003.parquet")
    assert [e.num_frames for e in episodes("lerobot", root)] == LENGTHS


def test_cameras_are_chosen_by_key_or_its_end(recordings: Path) -> None:
    root = recordings / "lerobot/v30_av1"
    for recorded in (FRONT, "images.front", "front"):
        (camera,) = episodes("lerobot", root, SourceOptions(cameras={"scene": recorded}))[0].cameras
        assert (camera.name, camera.recorded_name) == ("scene", FRONT)
    with pytest.raises(SourceError, match=f"cameras here: {FRONT}, {WRIST}"):
        describe("lerobot", root, SourceOptions(cameras={"scene": "top"}))
    with pytest.raises(SourceError, match="another one comes from already"):
        describe("lerobot", root, SourceOptions(cameras={"a": "front", "b": FRONT}))


@pytest.mark.parametrize("about", ["info", "video_info"])
def test_depth_is_left_out(av1: Path, about: str) -> None:
    edit_json(av1 / INFO, lambda info: info["features"][WRIST].pop("info"))
    feature(av1, WRIST, **{about: {"video.is_depth_map": True}})
    assert [c.name for c in episodes("lerobot", av1)[0].cameras] == ["front"]


def test_options(recordings: Path) -> None:
    root = recordings / "lerobot/v30_av1"
    said = episodes("lerobot", root, SourceOptions(instruction="go"))[3]
    assert (said.instructions, said.task) == (("go",), LANGUAGE.replace(" ", "_"))
    assert "made at 20 fps" in str(describe("lerobot", root, SourceOptions(fps=10))[0])
    for options in (SourceOptions(filter_key="x"), SourceOptions(resample=True)):
        with pytest.raises(SourceError, match="Leave"):
            describe("lerobot", root, options)


def test_digest_names_content_and_what_is_read_of_it(recordings: Path, tmp_path: Path) -> None:
    root = recordings / "lerobot/v30_av1"
    here = [e.content_digest for e in episodes("lerobot", root)]
    copied = shutil.copytree(root, tmp_path / "renamed")
    assert [e.content_digest for e in episodes("lerobot", Path(copied))] == here
    assert len(set(here)) == 4
    for other in (SourceOptions(cameras={"wrist": WRIST}), SourceOptions(instruction="go")):
        assert episodes("lerobot", root, other)[0].content_digest != here[0]
    edit_json(Path(copied) / INFO, lambda info: info.update(robot_type="so100"))
    assert episodes("lerobot", Path(copied))[0].content_digest != here[0]


def test_a_changed_data_set_is_read_anew(av1: Path) -> None:
    assert len(episodes("lerobot", av1)) == 4
    edit_json(av1 / INFO, lambda info: info.update(fps=25))
    assert episodes("lerobot", av1)[0].fps == 25.0


def test_a_folder_of_data_sets(recordings: Path) -> None:
    found = sources.load("lerobot").find(recordings / "lerobot")
    assert [file.name for file in found] == ["v30_av1", "v30_png"]


def test_ingest_keeps_rows_bit_exact(recordings: Path, tmp_path: Path) -> None:
    root = recordings / "lerobot"
    ingest("lerobot", [root / "v30_av1"], tmp_path / "set", IngestOptions(clip_starts=16, window_span=8), workers=1)
    dataset = Dataset.open(tmp_path / "set")
    described = {episode.episode_id: episode for episode in episodes("lerobot", root / "v30_av1")}
    assert len(dataset.clips) > len(described)
    for clip in dataset.clips:
        episode = described[clip.episode.episode_id]
        _, actions, state = read("lerobot", root / "v30_av1", episode)
        assert clip.episode.instructions == episode.instructions
        for stored, rows in ((dataset.actions(clip), actions), (dataset.state(clip), state)):
            assert stored is not None
            assert rows is not None
            assert stored.tobytes() == rows[clip.span.start : clip.span.stop].tobytes()


def test_a_data_set_of_the_hub(hub: Hub, recordings: Path) -> None:
    root = recordings / "lerobot/v30_png"
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    hub.create("tests/drawer")
    whole = hub.commit("tests/drawer", {**files, "notes.txt": b"not needed"})
    hub.commit("tests/drawer", {INFO: b"{}"}, title="Broken")
    found = episodes("lerobot", Path(f"hf://datasets/tests/drawer@{whole}"))
    assert [(e.file, e.num_frames) for e in found] == [("tests/drawer", 9), ("tests/drawer", 7)]
    assert [e.content_digest for e in found] == [e.content_digest for e in episodes("lerobot", root)]
    assert found[0].attributes["url"] == f"hf://datasets/tests/drawer@{whole}"
    assert not hub.asked("GET", "notes.txt")
    with pytest.raises(SourceError, match="codebase_version is None"):
        describe("lerobot", Path("hf://datasets/tests/drawer"))
    with pytest.raises(SourceError, match="cannot be downloaded"):
        describe("lerobot", Path("hf://datasets/tests/nowhere"))


def test_several_tasks_come_once_each_in_their_order(v21: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(v21, tmp_path / "v21"))

    def change(table: pa.Table) -> pa.Table:
        column = pa.array([2, 2, 0, 2, *[1] * (len(table) - 4)])
        return table.set_column(table.column_names.index("task_index"), "task_index", column)

    edit_parquet(root / "data/chunk-000/episode_000000.parquet", change)
    tasks = [{"task_index": 0, "task": "b"}, {"task_index": 1, "task": ""}, {"task_index": 2, "task": "a"}]
    write_jsonl(root / "meta/tasks.jsonl", tasks)
    found: list[Episode] = episodes("lerobot", root)
    assert found[0].instructions == ("a", "b")
