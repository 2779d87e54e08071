"""What the HDF5 sources share: opening, checking and reading in slices.

Enters: the path of an HDF5 file, or datasets in an open one. Leaves: checked cameras and arrays, an `EpisodeReader`, or
a SourceError that says which file, episode and dataset is wrong.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SourceError
from vpdata.schema import Camera
from vpdata.sources.hdf5_rows import Rows

EXTENSIONS = frozenset({".hdf5", ".h5"})
CHUNK_CACHE_BYTES = 8 * 2**20  # a slab of whole chunks of one camera, so that neighbouring reads inflate it once

Images = NDArray[np.uint8]
Array = NDArray[np.generic]


@contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file, opened for reading.

    Raises:
        SourceError: the file is missing, empty, truncated, or something else.
    """
    if not path.is_file():
        raise SourceError("there is no such file.", path=path, hint="Check the path.")
    if path.stat().st_size == 0:
        raise SourceError("the file is empty (0 bytes).", path=path, hint="Copy or download it again.")
    path.open("rb").close()  # what may not be read is not said to be something else
    if not h5py.is_hdf5(path):
        raise SourceError("this is not an HDF5 file.", path=path, hint="Check the path, or choose another source.")
    with reading(path):
        file = h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES)
    with file:
        yield file


@contextmanager
def reading(path: Path, *, episode: str | None = None) -> Iterator[None]:
    """Turns what h5py raises on damaged bytes into a SourceError."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, ValueError, MemoryError) as error:
        raise SourceError(
            f"the HDF5 file is damaged or truncated ({error}).",
            path=path,
            episode=episode,
            hint="Copy or download it again.",
        ) from error


def json_attribute(holder: h5py.Group, name: str) -> dict[str, Any]:
    """An attribute that holds a JSON object; empty where the attribute is missing."""
    path = Path(holder.file.filename)
    with reading(path):
        text = holder.attrs.get(name, "{}")
    try:
        value = json.loads(text)
    except (TypeError, ValueError) as error:
        raise SourceError(f"attribute {name!r} of {holder.name} is not JSON.", path=path) from error
    if not isinstance(value, dict):
        raise SourceError(f"attribute {name!r} of {holder.name} is no JSON object.", path=path)
    return value


def children(group: h5py.Group) -> list[tuple[str, Any]]:
    """Names and what they lead to, None for a broken link.

    A list, as h5py's own iterators hold its lock between two items: one that an error leaves behind, and that another
    thread then lets go of, keeps the lock for good, and nothing of HDF5 is read any more.
    """
    return [(name, group.get(name)) for name in list(group)]


def dataset(group: h5py.Group, name: str, *, path: Path, episode: str | None) -> h5py.Dataset:
    """The dataset of that name. Raises SourceError, listing those that are there."""
    found = group.get(name)
    if not isinstance(found, h5py.Dataset) or not found.ndim:
        there = ", ".join(key for key, item in children(group) if isinstance(item, h5py.Dataset)) or "none"
        raise SourceError(f"{group.name} has no dataset {name!r}; datasets there: {there}.", path=path, episode=episode)
    return found


def camera_dataset(group: h5py.Group, name: str, *, camera: str, path: Path, episode: str) -> h5py.Dataset:
    """The images of a camera. Raises SourceError, listing the cameras that are there."""
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        there = ", ".join(key for key, item in children(group) if getattr(item, "dtype", None) == np.uint8)
        raise SourceError(
            f"camera {camera!r} is to come from {name!r}, which is not in this episode; cameras there: "
            f"{there or 'none'}.",
            path=path,
            episode=episode,
            hint="Choose with --camera NAME=RECORDED_NAME.",
        )
    return found


def raw_camera(images: h5py.Dataset, *, name: str, recorded_name: str, path: Path, episode: str) -> Camera:
    """Describes a camera stored as uint8 (N, H, W, 3). Raises SourceError for any other dtype or shape."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
        raise SourceError(
            f"camera {recorded_name!r} is {images.dtype} {images.shape}, not uint8 (frames, height, width, 3).",
            path=path,
            episode=episode,
        )
    return Camera(name=name, recorded_name=recorded_name, height=images.shape[1], width=images.shape[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdf5Reader:
    """An `EpisodeReader` over datasets of an open file.

    Attributes:
        images: canonical camera name -> dataset whose rows are frames.
        to_rgb: turns one row into an RGB, upright `HWC` frame; gets the camera's canonical name, the frame's index and
            the row.
    """

    path: Path
    episode: str
    images: Mapping[str, h5py.Dataset]
    to_rgb: Callable[[str, int, Images], Images]
    actions: Array | None
    state: Array | None
    _rows: dict[str, Rows] = field(default_factory=dict, init=False)

    def frames(self, camera: str, start: int, stop: int) -> Iterator[Images]:
        """Yields RGB `HWC` frames [start, stop) of the camera with that canonical name."""
        images = self.images[camera]
        if not 0 <= start <= stop <= len(images):
            raise IndexError(f"frames [{start}, {stop}) of {len(images)}")
        where = f"{self.episode}, camera {camera}"
        with reading(self.path, episode=where):
            if camera not in self._rows:
                self._rows[camera] = Rows(images, path=self.path, episode=where)
            rows = self._rows[camera].read(start, stop)
        for index in range(start, stop):
            with reading(self.path, episode=where):
                row = next(rows)
            yield self.to_rgb(camera, index, row)
