"""A plan and the videos of its episodes in; one episode after the other, as both versions of LeRobot have it, out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vpdata.export.lerobot_features import columns_of, video_key
from vpdata.export.lerobot_plan import LeRobotPlan, task_of
from vpdata.export.pieces import Piece, piece_path, read_piece
from vpdata.export.statistics import FeatureStatistics, of_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeRobotEpisode:
    """An episode of a LeRobot data set.

    Attributes:
        number: from 0.
        first, num_frames: its frames are [first, first + num_frames) of the data set.
        line: what `meta` says of it in both versions.
        columns: see `columns_of`.
        pieces: the video of each camera.
    """

    number: int
    first: int
    num_frames: int
    line: Mapping[str, Any]
    columns: dict[str, NDArray[Any]]
    pieces: Mapping[str, Piece]

    def statistics(self) -> dict[str, FeatureStatistics]:
        """Of every feature."""
        rows = {name: of_rows(values) for name, values in self.columns.items()}
        return rows | {video_key(camera): piece.statistics() for camera, piece in self.pieces.items()}


def episodes_of(plan: LeRobotPlan, pieces: Path) -> Iterator[LeRobotEpisode]:
    """Every episode of a plan, in order; `pieces` is the folder with the videos."""
    first = 0
    for number, run in enumerate(plan.runs):
        task = task_of(run)
        line: dict[str, Any] = {"episode_index": number, "tasks": [task], "length": run.num_frames}
        if plan.has_more_instructions:
            line["instructions"] = list(run.episode.instructions)
        yield LeRobotEpisode(
            number=number,
            first=first,
            num_frames=run.num_frames,
            line=line,
            columns=columns_of(run, plan.layout, dtype=plan.dtype, episode=number, first=first, task=plan.tasks[task]),
            pieces={camera.name: read_piece(piece_path(pieces, number, camera.name)) for camera in plan.layout.cameras},
        )
        first += run.num_frames
