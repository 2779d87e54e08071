"""Recordings in, frames in memory out, and the PSNR of one array of frames against another."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata import sources
from vpdata.schema import Episode
from vpdata.sources import SourceOptions

RECORDINGS = Path(__file__).parents[2] / "tests" / "recordings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The first frames of one camera of one episode, RGB `THWC`."""

    file: str
    camera: str
    frames: NDArray[np.uint8]
    fps: float


def recorded(source_name: str, path: Path, *, num_frames: int) -> Iterator[Recorded]:
    """Every camera of every episode of a source, at most `num_frames` of each."""
    source, options = sources.load(source_name), SourceOptions()
    for file in source.find(path):
        for episode in source.episodes(file, options):
            if not isinstance(episode, Episode):
                raise episode
            with source.open(file, episode, options) as reader:
                for camera in episode.cameras:
                    stop = min(num_frames, episode.num_frames)
                    frames = np.ascontiguousarray(list(islice(reader.frames(camera.name, 0, stop), stop)))
                    yield Recorded(file=file.name, camera=camera.name, frames=frames, fps=float(episode.fps))


def psnr_of_frames(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> NDArray[np.float64]:
    """PSNR of each frame in dB, peak 255; infinite where equal."""
    error = np.stack([np.square(a.astype(np.float64) - b).mean() for a, b in zip(found, expected, strict=True)])
    with np.errstate(divide="ignore"):
        psnr: NDArray[np.float64] = 10 * np.log10(255**2 / error)
    return psnr
