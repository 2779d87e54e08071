"""Scalars, pictures and videos of a run in; TensorBoard, Weights & Biases or trackio out, each by its own library."""

import importlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vptrain.config import RunConfig, to_dict
from vptrain.errors import VptrainError

IDENTITY = "tracked.json"
PROJECT = "vptrain"


class Tracker(Protocol):
    """Where metrics go beside metrics.jsonl."""

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Takes numbers by name."""

    def picture(self, name: str, pixels_HWC: NDArray[np.uint8], *, step: int) -> None:
        """Takes an RGB picture."""

    def video(self, name: str, path: Path, *, step: int) -> None:
        """Takes an mp4."""

    def close(self) -> None:
        """Sends what is left."""


class TensorBoard:
    """RUN/tensorboard. What a resumed run's checkpoint lacks is marked as void, so that no step shows twice."""

    def __init__(self, folder: Path, *, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(folder / "tensorboard", purge_step=step + 1)

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """See `Tracker`; written at once, so that a killed run loses nothing."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def picture(self, name: str, pixels_HWC: NDArray[np.uint8], *, step: int) -> None:
        """See `Tracker`."""
        self._writer.add_image(name, pixels_HWC, step, dataformats="HWC")
        self._writer.flush()

    def video(self, name: str, path: Path, *, step: int) -> None:
        """See `Tracker`: TensorBoard shows no mp4, so it gets the place of the file."""
        self._writer.add_text(name, str(path), step)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class Online:
    """Weights & Biases or trackio, which have the same verbs.

    A run keeps its identity over resumes. Steps that were sent before are not sent again: an exact resume has the same
    values there.
    """

    def __init__(self, library: ModuleType, *, sent: int) -> None:
        self._library = library
        self._sent = sent

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """See `Tracker`."""
        self._log(dict(values), step=step)

    def picture(self, name: str, pixels_HWC: NDArray[np.uint8], *, step: int) -> None:
        """See `Tracker`."""
        self._log({name: self._library.Image(pixels_HWC)}, step=step)

    def video(self, name: str, path: Path, *, step: int) -> None:
        """See `Tracker`."""
        self._log({name: self._library.Video(str(path), format="mp4")}, step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._library.finish()

    def _log(self, values: dict[str, Any], *, step: int) -> None:
        if step > self._sent:
            self._library.log(values, step=step)


def open_trackers(folder: Path, run: RunConfig, *, step: int, sent: int) -> list[Tracker]:
    """The run's trackers.

    Args:
        folder: of the run.
        run: names them.
        step: of the checkpoint that the run goes on from; 0 for a new run.
        sent: the last step that the run sent before it was interrupted.

    Raises:
        VptrainError: one is not installed, or cannot be reached.
    """
    openers = {"tensorboard": lambda: TensorBoard(folder, step=step)}
    return [openers[name]() if name in openers else _open_online(name, folder, run, sent=sent) for name in run.trackers]


def _open_online(name: str, folder: Path, run: RunConfig, *, sent: int) -> Online:
    identity = _identity(folder)
    arguments: dict[str, Any] = {
        "project": os.environ.get(f"{name.upper()}_PROJECT", PROJECT),
        "name": f"{folder.name}-{identity[:6]}",
        "config": to_dict(run),
        "resume": "allow",
    }
    library = _library(name)
    if name == "wandb":
        arguments |= {"id": identity, "dir": str(folder)}
    try:
        library.init(**arguments)
    except (OSError, ValueError, getattr(library, "Error", OSError)) as error:
        raise VptrainError(
            f"{name} does not take the run ({error}).",
            path=folder,
            hint="Log in to it, set WANDB_MODE=offline, or leave it out: --set trackers=tensorboard",
        ) from error
    return Online(library, sent=sent)


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise VptrainError(
            f"tracker {name} needs the package {name} ({error}).", hint=f"Install it: pip install 'vpdata[{name}]'"
        ) from error


def _identity(folder: Path) -> str:
    """Of this run among all that a tracker knows, made up once."""
    file = folder / IDENTITY
    if not file.exists():
        file.write_text(json.dumps({"id": uuid.uuid4().hex[:12]}) + "\n")
    return str(json.loads(file.read_text())["id"])
