"""Tables of numbers beside videos: `data.csv`, `data.parquet`, `CAMERA.csv`.

Enters: the path of a CSV or Parquet file. Leaves: its times, states and actions as checked arrays, or a SourceError
that says which file, line and column is wrong.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vpdata.errors import SourceError
from vpdata.sources.parquet import open_parquet

TIME = "time_seconds"
STATE, ACTION = "state_", "action_"
NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]+")

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Columns of one prefix: their names without it, and their values (rows, columns) in float32 or float64."""

    names: tuple[str, ...]
    values: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A recording's rows: at `times[i]` the robot saw `state.values[i]`, and then did `actions.values[i]`.

    Attributes:
        times: (N,) seconds, finite, in the order of the file.
        state: (N, D), or None where the table has no column `state_*`.
        actions: (M, D) with M <= N, as the last rows may be without; None where it has no column `action_*`.
    """

    times: NDArray[np.float64]
    state: Block | None
    actions: Block | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """Values of one column, and which cells are empty (their values mean nothing)."""

    values: Floats
    empty: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file's columns; `places` says for every row where it stands (`line 2`)."""

    path: Path
    columns: Mapping[str, _Column]
    places: Sequence[str]

    def error(self, what: str) -> SourceError:
        return SourceError(what, path=self.path, hint="Correct the file.")

    def finite(self, name: str, *, stop: int) -> Floats:
        """Rows [0, stop) of a column, all numbers. Raises SourceError for an empty cell, NaN or infinity."""
        column = self.columns[name]
        bad = np.flatnonzero(column.empty[:stop] | ~np.isfinite(column.values[:stop]))
        if len(bad):
            row = bad[0]
            held = "is empty" if column.empty[row] else f"holds {column.values[row]}"
            raise self.error(f"column {name!r} {held} in {self.places[row]}; {len(bad)} rows are like that.")
        return column.values[:stop]

    def block(self, prefix: str, *, stop: int) -> Block | None:
        """Rows [0, stop) of the columns with that prefix, None where there is none."""
        names = [name for name in self.columns if name.startswith(prefix)]
        if not names:
            return None
        values = np.stack([self.finite(name, stop=stop) for name in names], axis=1)
        return Block(names=tuple(name.removeprefix(prefix) for name in names), values=values)


def read_table(path: Path) -> Table:
    """Reads `data.csv` or `data.parquet`.

    Raises:
        SourceError: the file is damaged or has no rows; a column is none of `time_seconds`, `state_NAME` and
            `action_NAME`; a cell is no finite number. Only the last rows may have no actions, with empty cells.
    """
    file = _read(path)
    for name in file.columns:
        prefix = next((prefix for prefix in (STATE, ACTION) if name.startswith(prefix)), None)
        if name != TIME and (prefix is None or not NAME_PATTERN.fullmatch(name.removeprefix(prefix))):
            raise file.error(
                f"there is a column {name!r}; columns are {TIME}, {STATE}NAME and {ACTION}NAME, where a NAME is of "
                "letters, digits, '_', '-' and '.'."
            )
    if set(file.columns) <= {TIME}:
        raise file.error(f"there is no column {STATE}NAME and none {ACTION}NAME.")
    num_rows = len(file.places)
    empty = [column.empty for name, column in file.columns.items() if name.startswith(ACTION)]
    with_actions = np.flatnonzero(~np.all(empty, axis=0)) if empty else np.array([], np.int64)
    if empty and not len(with_actions):
        raise file.error(f"the columns {ACTION}NAME are empty.")
    return Table(
        times=_times(file),
        state=file.block(STATE, stop=num_rows),
        actions=file.block(ACTION, stop=int(with_actions[-1]) + 1 if empty else 0),
    )


def read_times(path: Path) -> NDArray[np.float64]:
    """The one column `time_seconds` of a camera's CSV, (frames,), finite. Raises SourceError."""
    file = _read(path)
    if set(file.columns) != {TIME}:
        raise file.error(f"a camera's file has one column, {TIME}, not {', '.join(file.columns)}.")
    return _times(file)


def _times(file: _File) -> NDArray[np.float64]:
    if TIME not in file.columns:
        raise file.error(f"there is no column {TIME}, only {', '.join(file.columns)}.")
    return file.finite(TIME, stop=len(file.places)).astype(np.float64)


def _read(path: Path) -> _File:
    file = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if not file.places:
        raise file.error("the table has no rows.")
    return file


def _read_csv(path: Path) -> _File:
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(reader.line_num)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"this is no CSV file in UTF-8 ({error}).", path=path, hint="Write it again.") from error
    if not rows:
        raise SourceError("the file is empty.", path=path, hint="Copy or record it again.")
    header = [name.strip() for name in rows.pop(0)]
    places = [f"line {line}" for line in lines[1:]]
    if len(set(header)) != len(header):
        raise SourceError(f"columns have the same name: {', '.join(header)}.", path=path, hint="Rename one of them.")
    for row, place in zip(rows, places, strict=True):
        if len(row) != len(header):
            raise SourceError(
                f"{place} has {len(row)} cells, the first line has {len(header)}.", path=path, hint="Correct the file."
            )
    columns = {name: _parse([row[i] for row in rows], name, places, path) for i, name in enumerate(header)}
    return _File(path=path, columns=columns, places=places)


def _parse(cells: Sequence[str], name: str, places: Sequence[str], path: Path) -> _Column:
    values = np.zeros(len(cells))
    empty = np.zeros(len(cells), np.bool_)
    for i, cell in enumerate(cells):
        if not cell.strip():
            empty[i] = True
            continue
        try:
            values[i] = float(cell)
        except ValueError:
            raise SourceError(
                f"column {name!r} holds {cell!r} in {places[i]}, which is no number.",
                path=path,
                hint="Correct the file.",
            ) from None
    return _Column(values=values, empty=empty)


def _read_parquet(path: Path) -> _File:
    with open_parquet(path) as file:
        table = file.read()
    columns = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            raise SourceError(
                f"column {field.name!r} holds {field.type}, not numbers.", path=path, hint="Correct the file."
            )
        dtype = np.float32 if field.type in (pa.float16(), pa.float32()) else np.float64
        columns[field.name] = _Column(
            values=column.fill_null(0).to_numpy().astype(dtype), empty=column.is_null().to_numpy()
        )
    return _File(path=path, columns=columns, places=[f"row {row}" for row in range(table.num_rows)])
