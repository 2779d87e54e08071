"""A plan and the videos of its episodes in, the tree of a LeRobot v3.0 data set out: many episodes in one file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from vpdata.export.lerobot_features import (
    COUNTERS,
    columns_of,
    features,
    integer_fps,
    schema,
    spaces_of,
    table,
    video_key,
)
from vpdata.export.lerobot_files import CHUNK_FILES, FILE_NAME, EpisodeFiles, Place, TableFiles, VideoFiles
from vpdata.export.lerobot_meta import StatisticsOfCameras, statistics_of_rows, write_json
from vpdata.export.lerobot_plan import LeRobotPlan, task_of
from vpdata.export.pieces import Piece, piece_path, read_piece
from vpdata.export.statistics import QUANTILES, FeatureStatistics, of_rows

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
    cameras = [camera.name for camera in plan.layout.cameras]
    data = TableFiles(tree / "data", schema(plan.layout, dtype=plan.dtype), max_bytes=plan.max_data_bytes)
    episodes = EpisodeFiles(tree / "meta/episodes", _episode_schema(plan), max_bytes=plan.max_data_bytes)
    videos = {
        camera: VideoFiles(tree / "videos" / video_key(camera), fps=plan.layout.fps, max_bytes=plan.max_video_bytes)
        for camera in cameras
    }
    totals = StatisticsOfCameras()
    first = num_encoded = 0
    for number, run in enumerate(plan.runs):
        task = plan.tasks[task_of(run)]
        columns = columns_of(run, plan.layout, dtype=plan.dtype, episode=number, first=first, task=task)
        found = {camera: read_piece(piece_path(pieces, number, camera)) for camera in cameras}
        row = _episode_row(plan, number, first)
        row |= _place("data", data.append(table(columns, schema(plan.layout, dtype=plan.dtype))))
        row |= _statistics_row(columns, found)
        for camera, piece in found.items():
            totals.add(camera, piece)
            num_encoded += piece.num_encoded
            place, first_frame = videos[camera].append(piece.path)
            row |= _place(f"videos/{video_key(camera)}", place)
            row[f"videos/{video_key(camera)}/from_timestamp"] = first_frame / plan.layout.fps
            row[f"videos/{video_key(camera)}/to_timestamp"] = (first_frame + run.num_frames) / plan.layout.fps
        episodes.append(row)
        first += run.num_frames
    data.close()
    episodes.close()
    for files in videos.values():
        files.close()
    _write_meta(plan, tree, {**statistics_of_rows(data.paths, plan.layout), **totals.by_feature()})
    return num_encoded


def _write_meta(plan: LeRobotPlan, tree: Path, statistics: dict[str, FeatureStatistics]) -> None:
    import pandas as pd  # it takes its time

    index = pd.Index(list(plan.tasks), name="task")
    pd.DataFrame({"task_index": list(plan.tasks.values())}, index=index).to_parquet(tree / "meta/tasks.parquet")
    write_json(tree / "meta/stats.json", {name: found.to_json() for name, found in statistics.items()})
    info = {
        "codebase_version": "v3.0",
        "robot_type": plan.robot_type,
        "total_episodes": len(plan.runs),
        "total_frames": plan.num_frames,
        "total_tasks": len(plan.tasks),
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": max(1, plan.max_data_bytes // MEBIBYTE),
        "video_files_size_in_mb": max(1, plan.max_video_bytes // MEBIBYTE),
        "fps": integer_fps(plan.layout),
        "splits": {"train": f"0:{len(plan.runs)}"},
        "data_path": f"data/{FILE_NAME}.parquet",
        "video_path": "videos/{video_key}/" + f"{FILE_NAME}.mp4",
        "features": features(plan.layout, codec=plan.codec, dtype=plan.dtype),
    }
    write_json(tree / "meta/info.json", info)


def _episode_row(plan: LeRobotPlan, number: int, first: int) -> dict[str, Any]:
    run = plan.runs[number]
    row = {
        "episode_index": number,
        "tasks": [task_of(run)],
        "length": run.num_frames,
        "dataset_from_index": first,
        "dataset_to_index": first + run.num_frames,
    }
    if plan.has_more_instructions:
        row["instructions"] = list(run.episode.instructions)
    return row


def _place(prefix: str, place: Place) -> dict[str, int]:
    return {f"{prefix}/chunk_index": place.chunk, f"{prefix}/file_index": place.file}


def _statistics_row(columns: dict[str, NDArray[Any]], pieces: dict[str, Piece]) -> dict[str, Any]:
    found = {name: of_rows(values) for name, values in columns.items()}
    found |= {video_key(camera): piece.statistics() for camera, piece in pieces.items()}
    return {f"stats/{name}/{key}": value for name, stats in found.items() for key, value in stats.to_json().items()}


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
