"""What both versions of LeRobot's format write alike: JSON, and the statistics of all episodes together."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vpdata.export.layout import Layout
from vpdata.export.lerobot_features import COUNTERS, spaces_of, video_key
from vpdata.export.pieces import Piece
from vpdata.export.statistics import Counts, FeatureStatistics, of_levels, of_rows


class StatisticsOfCameras:
    """Adds up the grey levels of the episodes."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[Counts, int]] = {}

    def add(self, camera: str, piece: Piece) -> None:
        """Takes one camera of one episode in."""
        counts, num_frames = self._counts.get(camera, (0, 0))
        self._counts[camera] = (counts + piece.counts, num_frames + piece.num_sampled)

    def by_feature(self) -> dict[str, FeatureStatistics]:
        """Of every camera."""
        return {
            video_key(camera): of_levels(counts, num_frames=num_frames)
            for camera, (counts, num_frames) in self._counts.items()
        }


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
