"""LeRobot data sets made from the recordings: v2.1 as its writers lay it out, and RoboCasa365's layout."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

FPS = 20
DATA_V21 = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_V21 = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
CODECS = {"observation.images.front": "libx264", "observation.images.wrist": "libx265"}

STATE_PARTS = {  # RoboCasa365's name, RoboCasa's dataset
    "base_position": "robot0_base_pos",
    "base_rotation": "robot0_base_quat",
    "end_effector_position_relative": "robot0_base_to_eef_pos",
    "end_effector_rotation_relative": "robot0_base_to_eef_quat",
    "gripper_qpos": "robot0_gripper_qpos",
}
STATE_SIZES = dict(zip(STATE_PARTS, (3, 4, 3, 4, 2), strict=True))  # in RoboCasa365's own order
ACTION_PARTS = {  # RoboCasa365's name, columns of the HDF5
    "end_effector_position": (0, 3),
    "end_effector_rotation": (3, 6),
    "gripper_close": (6, 7),
    "base_motion": (7, 11),
    "control_mode": (11, 12),
}
ACTION_ORDER = ("base_motion", "control_mode", "end_effector_position", "end_effector_rotation", "gripper_close")
CAMERAS_365 = ("robot0_eye_in_hand", "robot0_agentview_left", "robot0_agentview_right")


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a JSON file in place."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value, indent=4), encoding="utf-8")


def edit_parquet(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Changes a Parquet file in place; it comes back with one row group."""
    pq.write_table(change(pq.read_table(path)), path)


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    """All frames of a video, decoded from its start."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]], *, codec: str, fps: int = FPS) -> None:
    """Writes frames as LeRobot v2.1 did: yuv420p, crf 23, and with long groups of pictures and B frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": "23", "preset": "veryfast"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_v21(v30: Path, out: Path) -> None:
    """The same rows as a v3.0 data set with one mp4 a camera for every episode, its pictures encoded again."""
    info = json.loads((v30 / "meta/info.json").read_text())
    episodes = pq.read_table(v30 / "meta/episodes").to_pylist()
    rows = pq.read_table(v30 / "data")
    tasks = pq.read_table(v30 / "meta/tasks.parquet").to_pylist()
    text = {row["task_index"]: row["__index_level_0__"] for row in tasks}
    for key, codec in CODECS.items():
        folder = v30 / "videos" / key / "chunk-000"
        frames = [frame for path in sorted(folder.glob("*.mp4")) for frame in frames_of(path)]
        for one in episodes:
            path = out / VIDEO_V21.format(episode_chunk=0, episode_index=one["episode_index"], video_key=key)
            write_video(path, frames[one["dataset_from_index"] : one["dataset_to_index"]], codec=codec)
        said = info["features"][key]
        said["video_info"] = said.pop("info") | {"video.codec": codec.replace("libx", "h")}
    for one in episodes:
        path = out / DATA_V21.format(episode_chunk=0, episode_index=one["episode_index"])
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.slice(one["dataset_from_index"], one["length"]), path)
    write_jsonl(out / "meta/tasks.jsonl", [{"task_index": index, "task": task} for index, task in text.items()])
    described = [{key: one[key] for key in ("episode_index", "tasks", "length")} for one in episodes]
    write_jsonl(out / "meta/episodes.jsonl", described)
    info |= {"codebase_version": "v2.1", "data_path": DATA_V21, "video_path": VIDEO_V21, "total_chunks": 1}
    info |= {"total_videos": len(CODECS) * len(episodes)}
    for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
        del info[key]
    (out / "meta/info.json").write_text(json.dumps(info, indent=4), encoding="utf-8")


def modality(
    *, action_order: Sequence[str] = ACTION_ORDER, state_order: Sequence[str] = tuple(STATE_SIZES)
) -> dict[str, Any]:
    """`modality.json` with the parts of rows in these orders; the default is RoboCasa365's own."""
    sizes = {name: stop - start for name, (start, stop) in ACTION_PARTS.items()}

    def slices(key: str, order: Sequence[str], size: Mapping[str, int]) -> dict[str, Any]:
        ends = np.cumsum([size[name] for name in order]).tolist()
        return {
            name: {"original_key": key, "start": end - size[name], "end": end}
            for name, end in zip(order, ends, strict=True)
        }

    return {
        "state": slices("observation.state", state_order, STATE_SIZES),
        "action": slices("action", action_order, sizes),
        "video": {name: {"original_key": f"observation.images.{name}"} for name in CAMERAS_365},
        "annotation": {"human.task_description": {"original_key": "annotation.human.task_description"}},
    }


def write_robocasa365(recording: Path, out: Path, *, demos: Sequence[str]) -> None:
    """Converts demos of a rendered RoboCasa HDF5 to RoboCasa365's layout, with the order of columns it has."""
    with h5py.File(recording) as file:
        data = file["data"]
        metas = [json.loads(data[demo].attrs["ep_meta"]) for demo in demos]
        lengths = [len(data[demo]["actions"]) for demo in demos]
        environment = json.loads(data.attrs["env_args"])
        for number, demo in enumerate(demos):
            for name in CAMERAS_365:
                frames = list(data[demo]["obs"][f"{name}_image"][:])
                key = f"observation.images.{name}"
                path = out / VIDEO_V21.format(episode_chunk=0, episode_index=number, video_key=key)
                write_video(path, frames, codec="libx264")
            extras = out / f"extras/episode_{number:06d}"
            extras.mkdir(parents=True)
            (extras / "ep_meta.json").write_text(json.dumps(metas[number], indent=4), encoding="utf-8")
        height, width = data[demos[0]]["obs"][f"{CAMERAS_365[0]}_image"].shape[1:3]
    (out / "extras/dataset_meta.json").write_text(json.dumps({"env_args": environment}), encoding="utf-8")
    language = list(dict.fromkeys(meta["lang"] for meta in metas))
    tasks = [*language, environment["env_name"]]
    write_jsonl(out / "meta/tasks.jsonl", [{"task_index": i, "task": task} for i, task in enumerate(tasks)])
    described = [
        {"episode_index": number, "tasks": [meta["lang"]], "length": length}
        for number, (meta, length) in enumerate(zip(metas, lengths, strict=True))
    ]
    write_jsonl(out / "meta/episodes.jsonl", described)
    video = {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channel"]}
    features = {f"observation.images.{name}": video for name in CAMERAS_365}
    features |= {
        "observation.state": {"dtype": "float64", "shape": [16]},
        "action": {"dtype": "float64", "shape": [12]},
    }
    info = {
        "codebase_version": "v2.1",
        "robot_type": "PandaOmron",
        "total_episodes": len(demos),
        "chunks_size": 1000,
        "fps": FPS,
        "data_path": DATA_V21,
        "video_path": VIDEO_V21,
        "features": features,
    }
    (out / "meta/info.json").write_text(json.dumps(info, indent=4), encoding="utf-8")
    write_rows_365(recording, out, demos=demos, said=modality())


def write_rows_365(recording: Path, out: Path, *, demos: Sequence[str], said: Mapping[str, Any]) -> None:
    """Writes the rows of a data set of `write_robocasa365` with their columns in the order that `said` states."""
    (out / "meta/modality.json").write_text(json.dumps(said, indent=4), encoding="utf-8")
    start = 0
    for number, demo in enumerate(demos):
        with h5py.File(recording) as file:
            columns = _columns_365(file["data"][demo], said)
        length = len(columns["action"])
        columns |= {
            "timestamp": (np.arange(length) / FPS).astype(np.float32),
            "frame_index": np.arange(length),
            "episode_index": np.full(length, number),
            "index": np.arange(length) + start,
            "task_index": np.zeros(length, np.int64),
            "annotation.human.task_description": np.zeros(length, np.int64),
            "annotation.human.task_name": np.ones(length, np.int64),
        }
        path = out / DATA_V21.format(episode_chunk=0, episode_index=number)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
        start += length


def _columns_365(demo: Any, said: Mapping[str, Any]) -> dict[str, pa.Array]:
    action, state = np.zeros((len(demo["actions"]), 12)), np.zeros((len(demo["actions"]), 16))
    for name, (start, stop) in ACTION_PARTS.items():
        action[:, said["action"][name]["start"] : said["action"][name]["end"]] = demo["actions"][:, start:stop]
    for name, recorded in STATE_PARTS.items():
        state[:, said["state"][name]["start"] : said["state"][name]["end"]] = demo["obs"][recorded][:]
    return {"action": pa.array(list(action)), "observation.state": pa.array(list(state))}
