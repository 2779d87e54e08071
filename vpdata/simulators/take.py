"""One attempt in a simulator, on disk as a plain folder that the source `folder` reads (`docs/SOURCES.md`).

Enters: observations and actions, one at a time. Leaves: a folder with a lossless video a camera, `data.parquet` and
`episode.json`, which appears whole or not at all; equal attempts give equal bytes.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vpdata import spaces
from vpdata.schema import Scalar
from vpdata.simulators import Observation, TaskInfo

PARTIAL = ".partial-"  # of a folder; the source does not look into hidden ones
NOTES, TABLE = "episode.json", "data.parquet"
LOSSLESS = {"qp": "0", "preset": "veryfast", "bf": "0"}


class Video:
    """One camera's video, written frame by frame: H.264 of RGB, exactly as it was rendered."""

    def __init__(self, path: Path, *, size: tuple[int, int], fps: int) -> None:
        self._container = av.open(str(path), "w", options={"fflags": "+bitexact"})
        self._stream = self._container.add_stream("libx264rgb", rate=fps, options=LOSSLESS)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "bgr0"
        self._stream.thread_count = 1
        self._stream.codec_context.flags |= Flags.bitexact
        self._to_bgr0 = VideoReformatter()

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Appends an RGB frame (H, W, 3)."""
        rgb = av.VideoFrame.from_ndarray(frame, format="rgb24")
        self._container.mux(self._stream.encode(self._to_bgr0.reformat(rgb, format="bgr0", threads=1)))

    def close(self) -> None:
        """Finishes the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()


class Take:
    """An attempt while it is made: what was seen, then what was done, and so on; it ends with what was seen."""

    def __init__(self, folder: Path, *, task: str, info: TaskInfo, cameras: Mapping[str, str]) -> None:
        self._folder, self._task, self._info, self._cameras = folder, task, info, cameras
        self._videos: dict[str, Video] = {}
        self._states: list[NDArray[np.float64]] = []
        self._actions: list[NDArray[np.float32]] = []

    def see(self, seen: Observation) -> None:
        """Appends what was seen before the next action, or after the last one."""
        for name, frame in seen.frames.items():
            if name not in self._videos:
                path = self._folder / f"{self._cameras[name]}.mp4"
                self._videos[name] = Video(path, size=frame.shape[:2], fps=round(self._info.fps))
            self._videos[name].add(frame)
        self._states.append(seen.state)

    def act(self, action: NDArray[np.float32]) -> None:
        """Appends what was done after what was seen last."""
        self._actions.append(action)

    def finish(self, attributes: Mapping[str, Scalar]) -> None:
        """Writes what stands beside the videos, and finishes these."""
        self.close()
        rows = len(self._states)
        columns: dict[str, Any] = {"time_seconds": np.arange(rows) / self._info.fps}
        columns |= _columns("state", self._info.state_space, np.stack(self._states))
        for name, values in _columns("action", self._info.action_space, np.stack(self._actions)).items():
            columns[name] = pa.array([*values, None], type=pa.from_numpy_dtype(values.dtype))  # nothing follows the end
        pq.write_table(pa.table(columns), self._folder / TABLE)
        notes = {
            "fps": self._info.fps,
            "instructions": self._info.instruction,
            "task": self._task,
            "cameras": dict(self._cameras),
            "action_space": self._info.action_space,
            "state_space": self._info.state_space,
            "attributes": dict(attributes),
        }
        (self._folder / NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Finishes the videos; may be called again."""
        for video in self._videos.values():
            video.close()
        self._videos = {}


@contextmanager
def recording(folder: Path, *, task: str, info: TaskInfo, cameras: Mapping[str, str]) -> Iterator[Take]:
    """A take to fill and finish; with the block's end it stands at `folder`, or after an error nothing does.

    Args:
        folder: must not be there yet; the one above it must.
        task: short name of the task.
        info: what there is to know about the task.
        cameras: canonical name -> the simulator's, which becomes the name of the file.
    """
    partial = folder.parent / f"{PARTIAL}{folder.name}"
    shutil.rmtree(partial, ignore_errors=True)  # of an earlier run that was killed
    partial.mkdir()
    take = Take(partial, task=task, info=info, cameras=cameras)
    try:
        yield take
        for path in (*partial.iterdir(), partial):
            _flush(path)
        partial.rename(folder)
        _flush(folder.parent)
    finally:
        take.close()
        shutil.rmtree(partial, ignore_errors=True)


def _columns(prefix: str, space: str, values: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    names = [dimension.name for dimension in spaces.load(space).dimensions]
    return {f"{prefix}_{name}": values[:, column] for column, name in enumerate(names)}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
