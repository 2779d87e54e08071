"""Reads recordings through the `Source` protocol, as the ingest does."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata import sources
from vpdata.errors import VpdataError
from vpdata.schema import Episode
from vpdata.sources import SourceOptions

DEFAULTS = SourceOptions()


def describe(source: str, path: Path, options: SourceOptions = DEFAULTS) -> list[Episode | VpdataError]:
    """What `episodes` yields for every file at `path`."""
    plugin = sources.load(source)
    return [episode for file in plugin.find(path) for episode in plugin.episodes(file, options)]


def episodes(source: str, path: Path, options: SourceOptions = DEFAULTS) -> list[Episode]:
    """The episodes at `path`, none of which may be an error."""
    found = describe(source, path, options)
    assert not [entry for entry in found if isinstance(entry, VpdataError)]
    return [entry for entry in found if isinstance(entry, Episode)]


def errors(source: str, path: Path, options: SourceOptions = DEFAULTS) -> dict[str | None, str]:
    """The message of every episode at `path` that cannot be used, by the episode's name."""
    return {entry.episode: str(entry) for entry in describe(source, path, options) if isinstance(entry, VpdataError)}


def read(
    source: str, path: Path, episode: Episode, options: SourceOptions = DEFAULTS
) -> tuple[dict[str, NDArray[np.uint8]], NDArray[np.generic] | None, NDArray[np.generic] | None]:
    """All frames (T, H, W, 3) by camera, the actions and the state of an episode of the file `path`."""
    plugin = sources.load(source)
    with plugin.open(plugin.find(path)[0], episode, options) as reader:
        frames = {
            camera.name: np.stack(list(reader.frames(camera.name, 0, episode.num_frames))) for camera in episode.cameras
        }
        return frames, reader.actions, reader.state


def assert_same_frames(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """As `assert_array_equal`, which takes ten times as long and prints pixels."""
    assert found.shape == expected.shape
    differing = [number for number, pair in enumerate(zip(found, expected, strict=True)) if not np.array_equal(*pair)]
    assert not differing, f"frames {differing[:5]} and {len(differing[5:])} more differ"


def numbers_of(frames: Iterable[NDArray[np.uint8]], originals: NDArray[np.uint8]) -> list[int]:
    """Which of the originals, that all differ, each frame is. Raises KeyError for a frame that is none of them."""
    numbers = {original.tobytes(): number for number, original in enumerate(originals)}
    assert len(numbers) == len(originals)
    return [numbers[frame.tobytes()] for frame in frames]


def response(positions: NDArray[np.floating], actions: NDArray[np.floating], lag: int) -> float:
    """Correlation, over x, y, z, of changes in velocity with changes of the commands `lag` steps later.

    Between frame t and t + 1 the robot moves by what it was told at t. So if `actions[t]` follows frame t, the response
    is strongest at lag 0, and at lag 1, which is the future, there is none.
    """
    acceleration, change = np.diff(positions, n=2, axis=0), np.diff(actions, axis=0)
    steps = np.arange(4, min(len(acceleration), len(change)) - 4)
    return float(np.mean([np.corrcoef(acceleration[steps, k], change[steps + lag, k])[0, 1] for k in range(3)]))
