"""What was recorded, and what an export shows, as arrays to compare."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vpdata.codecs.colour import TO_RGB
from vpdata.export.runs import Run

Images = NDArray[np.uint8]


def frames_of(run: Run, camera: str) -> Images:
    """(N, height, width, 3) of the run, as its data set gives them."""
    return np.stack(list(run.frames(camera, range(run.num_frames))))


def decoded(path: Path) -> Images:
    """All frames of a video, converted as our decoders do."""
    with av.open(str(path)) as container:
        return np.stack([frame.reformat(**TO_RGB).to_ndarray() for frame in container.decode(video=0)])


def psnr(one: Images, other: Images) -> NDArray[np.float64]:
    """(N,) in dB, of each frame; infinite where two are equal."""
    error = np.square(one.astype(np.float64) - other).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255**2 / error))


def actions_of(runs: Sequence[Run]) -> NDArray[np.float32]:
    """Of all runs, as a LeRobot export has them by default."""
    return np.concatenate([run.actions() for run in runs]).astype(np.float32)


def state_of(runs: Sequence[Run]) -> NDArray[np.float32]:
    """Of all runs, as a LeRobot export has them by default."""
    return np.concatenate([run.state() for run in runs]).astype(np.float32)
