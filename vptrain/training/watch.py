"""What a run says of itself: metrics, pictures, memory, and whether its loss runs away."""

import resource
import statistics
import sys
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from vptrain.config import RunConfig
from vptrain.training.metrics import MetricsLog, flattened
from vptrain.training.trackers import Tracker, open_trackers

HISTORY = 100
PATIENCE = 20
GB = 10**9


class Watch:
    """RUN/metrics.jsonl and the run's trackers, in the process that writes; in others it takes nothing."""

    def __init__(self, folder: Path, run: RunConfig, *, step: int, writes: bool) -> None:
        """Opens them for a run that goes on after `step`.

        Raises:
            VptrainError: a tracker is not installed, or cannot be reached.
        """
        self._log = MetricsLog(folder / "metrics.jsonl", step=step) if writes else None
        self._trackers: list[Tracker] = []
        if self._log is not None:
            self._trackers = open_trackers(folder, run, step=step, sent=self._log.last_step_before)

    @property
    def seconds(self) -> float:
        """Of training before this process began."""
        return 0.0 if self._log is None else self._log.seconds

    def append(self, *, step: int, **values: Any) -> None:
        """Writes one line of metrics, and its numbers to the trackers."""
        if self._log is not None:
            self._log.append(step=step, **values)
        for tracker in self._trackers:
            tracker.scalars(flattened(values), step=step)

    def show(self, name: str, pixels_HWC: NDArray[np.uint8], *, step: int, video: Path | None = None) -> None:
        """Gives the trackers a picture, and the mp4 that goes with it."""
        for tracker in self._trackers:
            tracker.picture(name, pixels_HWC, step=step)
            if video is not None:
                tracker.video(f"{name}/video", video, step=step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as closing:
            for tracker in self._trackers:
                closing.callback(tracker.close)


class Divergence:
    """Notices a loss that runs away: above `factor` times its median of the last 100 steps, 20 steps in a row.

    It knows the steps that this process took: after a resume it needs 100 before it says anything.
    """

    def __init__(self, factor: float | None) -> None:
        self._factor = factor
        self._losses: deque[float] = deque(maxlen=HISTORY)
        self._in_a_row = 0

    def note(self, loss: float) -> bool:
        """Takes the loss of the next step; whether the run should stop there."""
        if self._factor is None:
            return False
        is_high = len(self._losses) == HISTORY and loss > self._factor * statistics.median(self._losses)
        self._in_a_row = self._in_a_row + 1 if is_high else 0
        self._losses.append(loss)
        return self._in_a_row == PATIENCE


def peak_memory(device: torch.device) -> dict[str, float]:
    """`memory_gb`, the most that this process has held, and on a GPU `gpu_memory_gb`, the most that torch has there."""
    unit = 1 if sys.platform == "darwin" else 1024
    values = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB}
    if device.type == "cuda":
        values["gpu_memory_gb"] = torch.cuda.max_memory_allocated(device) / GB
    return values
