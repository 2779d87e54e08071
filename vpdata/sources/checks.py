"""What every recording must fulfil: its rate, lengths and arrays in, the same out; a SourceError where they do not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata import spaces
from vpdata.errors import SourceError
from vpdata.sources import SourceOptions

Array = NDArray[np.generic]

MIN_FPS, MAX_FPS = 0.001, 100_000


def frame_rate(recorded: float | None, options: SourceOptions, *, default: float, path: Path) -> float:
    """The recorded rate, or else the one the user says, or else the source's default.

    Raises:
        SourceError: the user says another rate than the recording, as only videos are resampled; or what the recording
            says is no rate.
    """
    if recorded is not None and not (_is_number(recorded) and MIN_FPS <= recorded <= MAX_FPS):
        what = f"the recording was made at {recorded!r} fps, it says."
        raise SourceError(what, path=path, hint=f"Copy it again, or correct it to {MIN_FPS:g} to {MAX_FPS:g}.")
    if recorded is not None and options.fps is not None and recorded != options.fps:
        raise SourceError(
            f"the recording was made at {recorded:g} fps and is not resampled to {options.fps:g}.",
            path=path,
            hint="Leave --fps out.",
        )
    return float(recorded or options.fps or default)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal_length(lengths: Mapping[str, int], *, path: Path, episode: str) -> int:
    """The one length that all of these have. Raises SourceError, naming them, where they differ."""
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SourceError(
            f"lengths differ, so frames and actions cannot be paired: {listed}.",
            path=path,
            episode=episode,
            hint="Record or render this episode again.",
        )
    return next(iter(lengths.values()))


def in_space(values: Array, *, name: str, space: str, path: Path, episode: str) -> Array:
    """An array of finite numbers (N, size of the space). Raises SourceError otherwise, naming the dimension."""
    known = spaces.load(space)
    return check_array(values, name=name, size=known.size, path=path, episode=episode, columns=known.names)


def check_array(
    values: Array, *, name: str, size: int, path: Path, episode: str, columns: Sequence[str] | None = None
) -> Array:
    """An array of finite numbers (N, size). Raises SourceError otherwise, with the names of `columns`."""
    if values.ndim != 2 or values.shape[1] != size:
        raise SourceError(
            f"{name} has shape {values.shape}, not (steps, {size}).",
            path=path,
            episode=episode,
            hint="Was this recorded with another robot? Choose another source.",
        )
    bad = ~np.isfinite(values)
    if bad.any():
        step, column = (int(i) for i in np.argwhere(bad)[0])
        raise SourceError(
            f"{name} has NaN or infinity in {bad.any(axis=1).sum()} of {len(values)} steps, first at step {step} in "
            f"{f'column {column}' if columns is None else columns[column]}.",
            path=path,
            episode=episode,
        )
    return values
