"""What a LeRobot export will hold: its episodes, their tasks, and how they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from vpdata.export.layout import Layout
from vpdata.export.lerobot_features import Dtype
from vpdata.export.runs import Run


@dataclass(frozen=True, kw_only=True, eq=False)
class LeRobotPlan:
    """A LeRobot data set to be.

    Attributes:
        runs: its episodes.
        layout: theirs.
        codec: of the videos.
        format_version: of the format.
        dtype: of actions and states.
        robot_type: None where it is not known.
        max_video_bytes, max_data_bytes: of a file with several episodes.
    """

    runs: tuple[Run, ...]
    layout: Layout
    codec: str
    format_version: str
    dtype: Dtype
    robot_type: str | None
    max_video_bytes: int
    max_data_bytes: int

    @property
    def num_frames(self) -> int:
        """Of each camera, all episodes together."""
        return sum(run.num_frames for run in self.runs)

    @cached_property
    def tasks(self) -> Mapping[str, int]:
        """The text of each task, and its number."""
        texts = dict.fromkeys(task_of(run) for run in self.runs)
        return {text: number for number, text in enumerate(texts)}

    @cached_property
    def has_more_instructions(self) -> bool:
        """Whether an episode has more than the one instruction that is its task."""
        return any(len(run.episode.instructions) > 1 for run in self.runs)


def task_of(run: Run) -> str:
    """The first instruction, "" where there is none."""
    return run.episode.instructions[0] if run.episode.instructions else ""
