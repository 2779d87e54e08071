"""What both versions of LeRobot's format write alike of a whole data set: its description and its statistics."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vpdata.export.layout import Layout
from vpdata.export.lerobot_features import COUNTERS, features, integer_fps, spaces_of, video_key
from vpdata.export.lerobot_plan import LeRobotPlan
from vpdata.export.pieces import Piece
from vpdata.export.statistics import Counts, FeatureStatistics, of_levels, of_rows


class CameraTotals:
    """Adds up the videos of the episodes.

    Attributes:
        num_encoded: frames that were encoded again.
    """

    def __init__(self) -> None:
        self.num_encoded = 0
        self._counts: dict[str, tuple[Counts, int]] = {}

    def add(self, pieces: Mapping[str, Piece]) -> None:
        """Takes the cameras of one episode in."""
        for camera, piece in pieces.items():
            counts, num_frames = self._counts.get(camera, (0, 0))
            self._counts[camera] = (counts + piece.counts, num_frames + piece.num_sampled)
            self.num_encoded += piece.num_encoded

    def statistics(self) -> dict[str, FeatureStatistics]:
        """Of every camera's feature."""
        return {
            video_key(camera): of_levels(counts, num_frames=num_frames)
            for camera, (counts, num_frames) in self._counts.items()
        }


def write_description(
    meta: Path,
    plan: LeRobotPlan,
    statistics: Mapping[str, FeatureStatistics],
    *,
    files: Mapping[str, int],
    data_path: str,
    video_path: str,
) -> None:
    """Writes `stats.json` and `info.json`.

    Args:
        meta: their folder.
        plan: what is described.
        statistics: of every feature.
        files: what the version says of the files, after its other counts.
        data_path, video_path: where files lie, as templates.
    """
    write_json(meta / "stats.json", {name: found.to_json() for name, found in statistics.items()})
    info = {
        "codebase_version": f"v{plan.format_version}",
        "robot_type": plan.robot_type,
        "total_episodes": len(plan.runs),
        "total_frames": plan.num_frames,
        "total_tasks": len(plan.tasks),
        **files,
        "fps": integer_fps(plan.layout),
        "splits": {"train": f"0:{len(plan.runs)}"},
        "data_path": data_path,
        "video_path": video_path,
        "features": features(plan.layout, codec=plan.codec, dtype=plan.dtype),
    }
    write_json(meta / "info.json", info)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_line(file: TextIO, value: Mapping[str, Any]) -> None:
    """Adds a JSON object to a file that has one a line."""
    file.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def statistics_of_rows(paths: Sequence[Path], layout: Layout) -> dict[str, FeatureStatistics]:
    """Of every column of the parquet files with the frames; one column at a time is in memory."""
    found = {}
    for feature in (*spaces_of(layout), *COUNTERS):
        columns = [pq.read_table(path, columns=[feature]).column(feature).combine_chunks() for path in paths]
        found[feature] = of_rows(np.concatenate(list(map(_as_numpy, columns))))
    return found


def _as_numpy(column: pa.Array) -> NDArray[Any]:
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column)
    return np.asarray(column.flatten()).reshape(-1, column.type.list_size)
