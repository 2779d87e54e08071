"""A plan and the videos of its episodes in, the tree of a LeRobot v2.1 data set out: every episode in files of its own.

`meta/modality.json` and `meta/stats.json` are for GR00T, which reads v2.1 with these.
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vpdata import spaces
from vpdata.export.lerobot_features import (
    ACTION,
    STATE,
    columns_of,
    features,
    integer_fps,
    schema,
    spaces_of,
    table,
    video_key,
)
from vpdata.export.lerobot_meta import StatisticsOfCameras, statistics_of_rows, write_json, write_line
from vpdata.export.lerobot_plan import LeRobotPlan, task_of
from vpdata.export.pieces import piece_path, read_piece
from vpdata.export.statistics import FeatureStatistics, of_rows

CHUNK_EPISODES = 1000
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def write(plan: LeRobotPlan, pieces: Path, tree: Path) -> int:
    """Writes everything but the card. The videos move.

    Args:
        plan: what to write.
        pieces: the folder with the videos.
        tree: the folder to make.

    Returns:
        How many frames of the videos were encoded again.
    """
    columns_schema = schema(plan.layout, dtype=plan.dtype)
    totals, data_paths = StatisticsOfCameras(), []
    first = num_encoded = 0
    meta = tree / "meta"
    meta.mkdir(parents=True)
    with (
        (meta / "episodes.jsonl").open("w", encoding="utf-8") as episodes,
        (meta / "episodes_stats.jsonl").open("w", encoding="utf-8") as episodes_stats,
    ):
        for number, run in enumerate(plan.runs):
            place = {"episode_chunk": number // CHUNK_EPISODES, "episode_index": number}
            task = plan.tasks[task_of(run)]
            columns = columns_of(run, plan.layout, dtype=plan.dtype, episode=number, first=first, task=task)
            data_paths.append(_with_folder(tree / DATA_PATH.format(**place)))
            pq.write_table(table(columns, columns_schema), data_paths[-1])
            statistics = {name: of_rows(values) for name, values in columns.items()}
            for camera in plan.layout.cameras:
                piece = read_piece(piece_path(pieces, number, camera.name))
                key = video_key(camera.name)
                piece.path.rename(_with_folder(tree / VIDEO_PATH.format(**place, video_key=key)))
                statistics[key] = piece.statistics()
                totals.add(camera.name, piece)
                num_encoded += piece.num_encoded
            write_line(episodes, _episode_line(plan, number))
            stats = {name: found.to_json() for name, found in statistics.items()}
            write_line(episodes_stats, {"episode_index": number, "stats": stats})
            first += run.num_frames
    _write_meta(plan, meta, {**statistics_of_rows(data_paths, plan.layout), **totals.by_feature()})
    return num_encoded


def modality(plan: LeRobotPlan) -> dict[str, Any]:
    """GR00T's description of the features: the state and the action whole, each camera, and the task as language."""
    spans = {feature: {"start": 0, "end": spaces.load(space).size} for feature, space in spaces_of(plan.layout).items()}
    return {
        "state": {"state": {**spans[STATE], "original_key": STATE}} if STATE in spans else {},
        "action": {"action": {**spans[ACTION], "original_key": ACTION}} if ACTION in spans else {},
        "video": {camera.name: {"original_key": video_key(camera.name)} for camera in plan.layout.cameras},
        "annotation": {"human.task_description": {"original_key": "task_index"}},
    }


def _write_meta(plan: LeRobotPlan, meta: Path, statistics: dict[str, FeatureStatistics]) -> None:
    with (meta / "tasks.jsonl").open("w", encoding="utf-8") as tasks:
        for text, number in plan.tasks.items():
            write_line(tasks, {"task_index": number, "task": text})
    write_json(meta / "stats.json", {name: found.to_json() for name, found in statistics.items()})
    write_json(meta / "modality.json", modality(plan))
    info = {
        "codebase_version": "v2.1",
        "robot_type": plan.robot_type,
        "total_episodes": len(plan.runs),
        "total_frames": plan.num_frames,
        "total_tasks": len(plan.tasks),
        "total_videos": len(plan.runs) * len(plan.layout.cameras),
        "total_chunks": (len(plan.runs) - 1) // CHUNK_EPISODES + 1,
        "chunks_size": CHUNK_EPISODES,
        "fps": integer_fps(plan.layout),
        "splits": {"train": f"0:{len(plan.runs)}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": features(plan.layout, codec=plan.codec, dtype=plan.dtype),
    }
    write_json(meta / "info.json", info)


def _episode_line(plan: LeRobotPlan, number: int) -> dict[str, Any]:
    run = plan.runs[number]
    line = {"episode_index": number, "tasks": [task_of(run)], "length": run.num_frames}
    return line | ({"instructions": list(run.episode.instructions)} if plan.has_more_instructions else {})


def _with_folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
