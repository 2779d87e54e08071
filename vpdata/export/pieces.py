"""Runs in; a video of each camera of each run, and how often it shows each grey level, out, made by several threads.

A piece is an mp4 and, written after it, a JSON file. So an export that was stopped goes on with the pieces that are
whole.
"""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vpdata.export.runs import Run
from vpdata.export.statistics import Counts, FeatureStatistics, count_levels, of_levels, sampled_frames
from vpdata.export.video import write_run
from vpdata.shards.files import write_whole


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """The video of one camera of one run.

    Attributes:
        path: the mp4.
        num_encoded: frames that were encoded again; the others were copied.
        num_sampled: frames that were counted.
        counts: (3, 256) int64, see `count_levels`.
    """

    path: Path
    num_encoded: int
    num_sampled: int
    counts: Counts

    def statistics(self) -> FeatureStatistics:
        """Of the camera in this run."""
        return of_levels(self.counts, num_frames=self.num_sampled)


def make_pieces(
    runs: Sequence[Run],
    cameras: Sequence[str],
    folder: Path,
    *,
    codec: str,
    workers: int | None,
    progress: Callable[[int], object],
) -> None:
    """Makes every piece that is not there yet.

    Args:
        runs: each has these cameras.
        cameras: their names.
        folder: where pieces are, or will be.
        codec: of the videos.
        workers: threads; None for one a processor.
        progress: called with the number of frames of a camera that are done.

    Raises:
        ShardError: a data set is damaged.
    """
    folder.mkdir(exist_ok=True)

    def make(task: tuple[int, str]) -> int:
        number, camera = task
        _make(runs[number], camera, piece_path(folder, number, camera), codec=codec)
        return runs[number].num_frames

    tasks = [(number, camera) for number in range(len(runs)) for camera in cameras]
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)  # decoding and encoding let go of the interpreter
    try:
        for num_frames in pool.map(make, tasks):
            progress(num_frames)
    finally:
        pool.shutdown(cancel_futures=True)


def piece_path(folder: Path, number: int, camera: str) -> Path:
    """The video of one camera of run `number`."""
    return folder / f"{number:06d}-{camera}.mp4"


def read_piece(path: Path) -> Piece:
    """A piece that `make_pieces` made."""
    value = json.loads(path.with_suffix(".json").read_bytes())
    return Piece(
        path=path,
        num_encoded=value["num_encoded"],
        num_sampled=value["num_sampled"],
        counts=np.array(value["counts"], np.int64),
    )


def _make(run: Run, camera: str, path: Path, *, codec: str) -> None:
    noted = path.with_suffix(".json")
    if path.exists() and noted.exists():
        return
    num_encoded = write_run(run, camera, path, codec=codec)
    indices = sampled_frames(run.num_frames)
    counts = count_levels(run.frames(camera, indices))
    value = {"num_encoded": num_encoded, "num_sampled": len(indices), "counts": counts.tolist()}
    write_whole(noted, json.dumps(value).encode())
