"""What the loader's process and its workers say to each other: jobs go in, answers come back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpdata.loader.window import View, WindowArrays, WindowSpec, read_window
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a worker needs to know once."""

    datasets: tuple[Dataset, ...]
    spec: WindowSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a slot's memory one view goes: uint8 (num_frames, *view.shape) from byte `offset` on."""

    view: View
    offset: int

    def array(self, memory: NDArray[np.uint8], *, num_frames: int) -> NDArray[np.uint8]:
        """That part of the memory."""
        return np.ndarray((num_frames, *self.view.shape), np.uint8, memory, self.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One window to load.

    Attributes:
        number: of the job, never used twice.
        position, attempt: which window this is; attempts after 0 replace corrupt ones.
        dataset: place in `Setup.datasets`.
        clip, start, labelled, source: as `cut_window` takes them.
        slot: whose memory gets the frames; None: they come with the answer.
        places: where in that memory.
    """

    number: int
    position: int
    attempt: int
    dataset: int
    clip: Clip
    start: int
    labelled: bool
    source: str
    slot: int | None
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """From now on `slot` is memory `number` of `size` bytes, whose descriptor follows."""

    slot: int
    number: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a job: its arrays (without frames where they lie in a slot), or why there are none."""

    number: int
    result: WindowArrays | Exception


def do(job: Job, setup: Setup, memory: NDArray[np.uint8] | None) -> WindowArrays:
    """Loads one window; `memory` is its slot's, None where it has none. Raises what `read_window` raises."""
    into = None
    if memory is not None:
        into = {place.view.camera: place.array(memory, num_frames=setup.spec.num_frames) for place in job.places}
    dataset = setup.datasets[job.dataset]
    return read_window(
        dataset, job.clip, job.start, setup.spec, labelled=job.labelled, position=job.position, into=into
    )
