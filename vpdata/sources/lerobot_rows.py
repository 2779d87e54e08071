"""Parquet files of LeRobot data sets: the rows of one episode, and pictures that lie in them.

Enters: the path of a file, and which episode. Leaves: checked arrays, and decoded frames; or a SourceError. Only the
row groups that hold the episode are read; LeRobot writes one an episode.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from vpdata.errors import SourceError
from vpdata.schema import Camera
from vpdata.sources.parquet import COPY_HINT, open_parquet

EPISODE, NUMBER = "episode_index", "frame_index"
IMAGES_PER_READ = 32

Images = NDArray[np.uint8]
Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one episode: their columns of numbers, and that they begin at row `start` of the file.

    `names` are those of all columns of the file.
    """

    path: Path
    episode: str
    start: int
    columns: pa.Table
    names: tuple[str, ...]

    def error(self, what: str) -> SourceError:
        """An error about these rows."""
        return SourceError(what, path=self.path, episode=self.episode, hint="Copy or download it again.")

    def matrix(self, key: str) -> Array:
        """A column as (rows, D) in its own dtype, D = 1 for plain numbers; uint8 for true and false.

        Raises:
            SourceError: there is no such column, or a cell is empty, of another length, or no number.
        """
        column = self._column(key)
        rows = len(column)
        if (
            pa.types.is_list(column.type)
            or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)
        ):
            if column.null_count or len(pc.unique(pc.list_value_length(column))) != 1:
                raise self.error(f"rows of {key!r} are empty or of different lengths.")
            column = column.flatten()
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise self.error(f"{key!r} holds {column.type} with {column.null_count} empty cells, not rows of numbers.")
        values: Array = column.to_numpy(zero_copy_only=False)
        if not len(values):
            raise self.error(f"{key!r} holds no numbers.")
        return values.reshape(rows, -1)

    def one(self, key: str) -> Array:
        """A column of plain numbers, (rows,). Raises SourceError as `matrix` does."""
        return self.matrix(key)[:, 0]

    def has(self, key: str) -> bool:
        """Whether the file has that column."""
        return key in self.columns.column_names

    def _column(self, key: str) -> Any:
        if not self.has(key):
            raise self.error(f"the file has no column {key!r}, which info.json announces.")
        return self.columns[key].combine_chunks()


def read_rows(path: Path, *, keys: tuple[str, ...], index: int, episode: str, shares_file: bool) -> Rows:
    """The rows of episode `index`, which are together and in order.

    Args:
        path: a data file.
        keys: the columns that are wanted, of those that the file has.
        episode: the name of the episode for messages.
        shares_file: the file holds other episodes too; otherwise all rows are this episode's.

    Raises:
        SourceError: the file is missing or damaged, or the rows are not there, or not in order.
    """
    if not path.is_file():
        raise SourceError("is missing.", path=path, episode=episode, hint="Download the data set again.")
    stamp = (path.stat().st_size, path.stat().st_mtime_ns)
    known = _row_groups(path, stamp)
    held = (
        np.flatnonzero((known.lowest <= index) & (index <= known.highest))
        if shares_file
        else [0, len(known.starts) - 1]
    )
    groups = range(held[0], held[-1] + 1) if len(held) else range(0)
    first = int(known.starts[groups.start]) if groups else 0
    table = _read_columns(path, stamp, groups, (EPISODE, NUMBER, *keys))
    rows = Rows(path=path, episode=episode, start=first, columns=table, names=known.names)
    if shares_file:
        found = np.flatnonzero(rows.one(EPISODE) == index)
        if not len(found) or found[-1] - found[0] + 1 != len(found):
            raise rows.error(f"{len(found)} rows have {EPISODE} {index}, and not one after the other.")
        start = int(found[0])
        rows = replace(rows, start=first + start, columns=table.slice(start, len(found)))
    if rows.has(NUMBER) and not np.array_equal(rows.one(NUMBER), np.arange(len(rows.columns))):
        raise rows.error(f"{NUMBER} does not count the rows from 0.")
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowGroups:
    """Of every row group of a file: its first row, and the lowest and highest episode in it as far as that is known.

    `names` are those of the file's columns.
    """

    names: tuple[str, ...]
    starts: NDArray[np.int64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]


@lru_cache(maxsize=4)
def _row_groups(path: Path, _stamp: object) -> _RowGroups:
    with open_parquet(path) as file:
        groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
        leaves = [groups[0].column(leaf).path_in_schema for leaf in range(groups[0].num_columns)] if groups else []
        leaf = leaves.index(EPISODE) if EPISODE in leaves else None
        statistics = [None if leaf is None else group.column(leaf).statistics for group in groups]
        bounds = [
            (one.min, one.max) if one is not None and one.has_min_max else (-np.inf, np.inf) for one in statistics
        ]
        return _RowGroups(
            names=tuple(file.schema_arrow.names),
            starts=np.cumsum([0, *(group.num_rows for group in groups)])[:-1],
            lowest=np.array([low for low, _ in bounds]),
            highest=np.array([high for _, high in bounds]),
        )


@lru_cache(maxsize=1)
def _read_columns(path: Path, _stamp: object, groups: range, keys: tuple[str, ...]) -> pa.Table:
    """Row groups of those columns that the file has; kept for the next episode where many share a row group."""
    with open_parquet(path) as file:
        return file.read_row_groups(list(groups), columns=[name for name in file.schema_arrow.names if name in keys])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReader:
    """Frames of one camera whose pictures lie in a Parquet file from row `start` on, one a row, PNG or JPEG."""

    path: Path
    episode: str
    key: str
    start: int
    num_frames: int
    camera: Camera

    def frames(self, camera: str, start: int, stop: int) -> Iterator[Images]:
        """Yields RGB `HWC` frames [start, stop).

        Raises:
            SourceError: a picture is missing or damaged, of another size, or not RGB.
        """
        if camera != self.camera.name:
            raise KeyError(camera)
        if not 0 <= start <= stop <= self.num_frames:
            raise IndexError(f"frames [{start}, {stop}) of {self.num_frames}")
        for number, data in enumerate(read_images(self.path, self.key, self.start + start, self.start + stop), start):
            frame = decode_image(data, path=self.path, episode=f"{self.episode}, {self.key}, frame {number}")
            if frame.shape[:2] != (self.camera.height, self.camera.width):
                what = f"frame {number} of {self.key!r} is {frame.shape[:2]}: the size changes."
                raise SourceError(what, path=self.path, episode=self.episode)
            yield frame


def read_images(path: Path, key: str, start: int, stop: int) -> Iterator[bytes | None]:
    """Yields the encoded pictures of rows [start, stop) that the file has; None where a picture is missing."""
    if start == stop:
        return
    with open_parquet(path, episode=key) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        groups = range(int(np.searchsorted(ends, start, side="right")), int(np.searchsorted(ends, stop)) + 1)
        row = int(ends[groups.start]) - sizes[groups.start]
        for batch in file.iter_batches(batch_size=IMAGES_PER_READ, row_groups=list(groups), columns=[key]):
            pictures = _encoded(batch.column(0), path=path, key=key)
            for number in range(max(0, start - row), min(len(pictures), stop - row)):
                yield pictures[number].as_py()
            row += len(pictures)


def _encoded(column: Any, *, path: Path, key: str) -> Any:
    if not pa.types.is_struct(column.type) or column.type.get_field_index("bytes") < 0:
        what = f"the column holds {column.type}, not pictures as {{bytes, path}}."
        raise SourceError(what, path=path, episode=key, hint=COPY_HINT)
    return column.field("bytes")


def decode_image(data: bytes | None, *, path: Path, episode: str) -> Images:
    """Decodes one picture to RGB `HWC`. Raises SourceError where it is missing, damaged or not RGB of 8 bits."""
    if data is None:
        raise SourceError("the picture is not in the file.", path=path, episode=episode, hint=COPY_HINT)
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()  # the CRC-32 of a PNG's pixels, which decoding does not look at
        with Image.open(io.BytesIO(data)) as image:
            if image.mode != "RGB":
                raise SourceError(f"the picture is {image.mode}, not RGB of 8 bits.", path=path, episode=episode)
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise SourceError(f"the picture does not decode ({error}).", path=path, episode=episode) from error
