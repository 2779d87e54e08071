"""A plan and the videos of its episodes in, the tree of a LeRobot v3.0 data set out: many episodes in one file."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from vpdata.export.lerobot_episodes import LeRobotEpisode, episodes_of
from vpdata.export.lerobot_features import COUNTERS, schema, spaces_of, table, video_key
from vpdata.export.lerobot_files import CHUNK_FILES, FILE_NAME, EpisodeFiles, Place, TableFiles, VideoFiles
from vpdata.export.lerobot_meta import CameraTotals, statistics_of_rows, write_description
from vpdata.export.lerobot_plan import LeRobotPlan
from vpdata.export.statistics import QUANTILES, FeatureStatistics

MEBIBYTE = 2**20
STATISTICS = ("min", "max", "mean", "std", "count", *QUANTILES)


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
    data = TableFiles(tree / "data", columns_schema, max_bytes=plan.max_data_bytes)
    episodes = EpisodeFiles(tree / "meta/episodes", _episode_schema(plan), max_bytes=plan.max_data_bytes)
    videos = {
        name: VideoFiles(tree / "videos" / video_key(name), fps=plan.layout.fps, max_bytes=plan.max_video_bytes)
        for name in (camera.name for camera in plan.layout.cameras)
    }
    totals = CameraTotals()
    for episode in episodes_of(plan, pieces):
        row = _row(episode) | _place("data", data.append(table(episode.columns, columns_schema)))
        for camera, piece in episode.pieces.items():
            key = f"videos/{video_key(camera)}"
            place, first_frame = videos[camera].append(piece.path)
            row |= _place(key, place)
            row[f"{key}/from_timestamp"] = first_frame / plan.layout.fps
            row[f"{key}/to_timestamp"] = (first_frame + episode.num_frames) / plan.layout.fps
        totals.add(episode.pieces)
        episodes.append(row)
    data.close()
    episodes.close()
    for files in videos.values():
        files.close()
    _write_meta(plan, tree, {**statistics_of_rows(data.paths, plan.layout), **totals.statistics()})
    return totals.num_encoded


def _write_meta(plan: LeRobotPlan, tree: Path, statistics: dict[str, FeatureStatistics]) -> None:
    import pandas as pd  # it takes its time

    index = pd.Index(list(plan.tasks), name="task")
    pd.DataFrame({"task_index": list(plan.tasks.values())}, index=index).to_parquet(tree / "meta/tasks.parquet")
    files = {
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": max(1, plan.max_data_bytes // MEBIBYTE),
        "video_files_size_in_mb": max(1, plan.max_video_bytes // MEBIBYTE),
    }
    data_path, video_path = f"data/{FILE_NAME}.parquet", "videos/{video_key}/" + f"{FILE_NAME}.mp4"
    write_description(tree / "meta", plan, statistics, files=files, data_path=data_path, video_path=video_path)


def _row(episode: LeRobotEpisode) -> dict[str, Any]:
    """An episode's row but for where its files are."""
    statistics = {
        f"stats/{name}/{key}": value
        for name, found in episode.statistics().items()
        for key, value in found.to_json().items()
    }
    stop = episode.first + episode.num_frames
    return {**episode.line, "dataset_from_index": episode.first, "dataset_to_index": stop, **statistics}


def _place(prefix: str, place: Place) -> dict[str, int]:
    return {f"{prefix}/chunk_index": place.chunk, f"{prefix}/file_index": place.file}


def _episode_schema(plan: LeRobotPlan) -> pa.Schema:
    whole, number, text = pa.int64(), pa.float64(), pa.list_(pa.string())
    fields: list[tuple[str, pa.DataType]] = [("episode_index", whole), ("tasks", text), ("length", whole)]
    if plan.has_more_instructions:
        fields.append(("instructions", text))
    fields += [(f"data/{name}", whole) for name in ("chunk_index", "file_index")]
    fields += [("dataset_from_index", whole), ("dataset_to_index", whole)]
    keys = [video_key(camera.name) for camera in plan.layout.cameras]
    for key in keys:
        fields += [(f"videos/{key}/{name}", whole) for name in ("chunk_index", "file_index")]
        fields += [(f"videos/{key}/{name}", number) for name in ("from_timestamp", "to_timestamp")]
    nested = pa.list_(pa.list_(pa.list_(number)))
    kinds = dict.fromkeys([*spaces_of(plan.layout), *COUNTERS], pa.list_(number)) | dict.fromkeys(keys, nested)
    for feature, kind in kinds.items():
        fields += [(f"stats/{feature}/{key}", pa.list_(whole) if key == "count" else kind) for key in STATISTICS]
    fields += [(f"meta/episodes/{name}", whole) for name in ("chunk_index", "file_index")]
    return pa.schema(fields)
