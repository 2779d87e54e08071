"""Parquet files that hold videos themselves, as data sets of the Hugging Face Hub do.

Enters: a file with a column of bytes, or of `{bytes, path}`, and columns of captions. Leaves: a `Shot` a row. One row
group at a time is in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vpdata.errors import SourceError
from vpdata.sources import about
from vpdata.sources.parquet import open_parquet
from vpdata.sources.place import Held
from vpdata.sources.shot import Shot

_ROW = "row_"


def parquet_shots(path: Path, *, file: str, recorded: str, main: str) -> Iterator[Shot | SourceError]:
    """The videos in order, named `row_1`, `row_2`, …; a row that cannot be used comes as the error that says why.

    Args:
        path: the Parquet file.
        file: by which it is known.
        recorded: the column of the videos, or `main` for the only one.
        main: the name for the only one.

    Raises:
        SourceError: it cannot be read, or has not this column of videos.
    """
    with open_parquet(path) as table:
        column = _chosen(table.schema_arrow, recorded=recorded, main=main, path=path)
        said = [name for name in table.schema_arrow.names if name in about.NAMES and name != column]
        for number, row in enumerate(_rows(table, (column, *said), groups=range(table.num_row_groups)), 1):
            name = f"{_ROW}{number}"
            try:
                place = _held(row[column], name, path)
                yield Shot(place=place, file=file, name=name, about=about.from_values(row))
            except ValueError as error:
                yield SourceError(f"{error}.", path=path, episode=name, hint="Correct the row.")
            except SourceError as error:
                yield error


def parquet_place(path: Path, name: str, *, recorded: str, main: str) -> Held:
    """The video of the row with that name. Raises SourceError where it cannot be read."""
    with open_parquet(path) as table:
        column = _chosen(table.schema_arrow, recorded=recorded, main=main, path=path)
        row, group = int(name.removeprefix(_ROW)) - 1, 0
        while row >= table.metadata.row_group(group).num_rows:
            row -= table.metadata.row_group(group).num_rows
            group += 1
        rows = _rows(table, (column,), groups=[group])
        return _held(next(values for index, values in enumerate(rows) if index == row)[column], name, path)


def _rows(table: Any, columns: Sequence[str], *, groups: Sequence[int]) -> Iterator[Mapping[str, Any]]:
    for batch in table.iter_batches(batch_size=1, row_groups=list(groups), columns=list(columns)):
        yield from batch.to_pylist()


def _chosen(schema: pa.Schema, *, recorded: str, main: str, path: Path) -> str:
    videos: list[str] = [field.name for field in schema if _holds_bytes(field.type)]
    wanted = videos if recorded == main else [name for name in videos if name == recorded]
    if len(wanted) != 1:
        name = "one column of videos" if recorded == main else f"column of videos {recorded!r}"
        what = f"there is not {name}; columns of bytes: {', '.join(videos) or 'none'}."
        hint = "Choose one with --camera NAME=COLUMN." if videos else "A list of videos has a column 'path'."
        raise SourceError(what, path=path, hint=hint)
    return wanted[0]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _held(value: Any, name: str, path: Path) -> Held:
    data = value.get("bytes") if isinstance(value, dict) else value
    if data is None:
        what = "the row holds no bytes of a video."
        raise SourceError(what, path=path, episode=name, hint="Where only paths are given, write a list of videos.")
    return Held(path=path, name=name, data=data)
