"""A plan and the videos of its episodes in, the tree of a LeRobot v2.1 data set out: every episode in files of its own.

`meta/modality.json` and `meta/stats.json` are for GR00T, which reads v2.1 with these.
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vpdata import spaces
from vpdata.export.lerobot_episodes import episodes_of
from vpdata.export.lerobot_features import ACTION, STATE, schema, spaces_of, table, video_key
from vpdata.export.lerobot_meta import CameraTotals, statistics_of_rows, write_description, write_json, write_line
from vpdata.export.lerobot_plan import LeRobotPlan
from vpdata.export.statistics import FeatureStatistics

CHUNK_EPISODES = 1000
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def write(plan: LeRobotPlan, pieces: Path, tree: Path) -> int:
    """Writes everything but the card; arguments, result and effects as of `lerobot_v30.write`."""
    columns_schema = schema(plan.layout, dtype=plan.dtype)
    totals, data_paths = CameraTotals(), []
    meta = tree / "meta"
    meta.mkdir(parents=True)
    with (
        (meta / "episodes.jsonl").open("w", encoding="utf-8") as episodes,
        (meta / "episodes_stats.jsonl").open("w", encoding="utf-8") as episodes_stats,
    ):
        for episode in episodes_of(plan, pieces):
            place = {"episode_chunk": episode.number // CHUNK_EPISODES, "episode_index": episode.number}
            data_paths.append(_with_folder(tree / DATA_PATH.format(**place)))
            pq.write_table(table(episode.columns, columns_schema), data_paths[-1])
            for camera, piece in episode.pieces.items():
                piece.path.rename(_with_folder(tree / VIDEO_PATH.format(**place, video_key=video_key(camera))))
            totals.add(episode.pieces)
            write_line(episodes, episode.line)
            stats = {name: found.to_json() for name, found in episode.statistics().items()}
            write_line(episodes_stats, {"episode_index": episode.number, "stats": stats})
    _write_meta(plan, meta, {**statistics_of_rows(data_paths, plan.layout), **totals.statistics()})
    return totals.num_encoded


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
    write_json(meta / "modality.json", modality(plan))
    files = {
        "total_videos": len(plan.runs) * len(plan.layout.cameras),
        "total_chunks": (len(plan.runs) - 1) // CHUNK_EPISODES + 1,
        "chunks_size": CHUNK_EPISODES,
    }
    write_description(meta, plan, statistics, files=files, data_path=DATA_PATH, video_path=VIDEO_PATH)


def _with_folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
