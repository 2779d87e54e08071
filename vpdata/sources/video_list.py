"""Lists of videos: a CSV or Parquet file with a row for each video, or for each stretch of one.

Enters: the path of such a list. Leaves: a `Shot` for every row that can be used, and an error for every one that
cannot, with its number: the first row below the header of a CSV is row 2, as a spreadsheet shows it, and the first of a
Parquet file row 1. Rows that differ in nothing but their caption are one shot with several instructions.
"""

import csv
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vpdata.errors import SourceError
from vpdata.sources import about
from vpdata.sources.about import About
from vpdata.sources.files import natural_key
from vpdata.sources.hub import origin
from vpdata.sources.parquet import open_parquet
from vpdata.sources.shot import Shot

PATHS = ("path", "file_name")
START, END = "start", "end"
COLUMNS = (*PATHS, START, END, *about.NAMES)
SEPARATOR = "|"
"""Between the captions of one cell of a CSV."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoList:
    """What a list asks for, in its order; what is wrong with the rows that are left out; every `Shot.file`'s path."""

    shots: tuple[Shot, ...]
    errors: tuple[SourceError, ...]
    videos: Mapping[str, Path]


class _BadRow(Exception):
    """Says what is wrong with one row."""


def read_list(path: Path) -> VideoList:
    """Reads a list, again only when it has changed. Whether its videos are there is not looked at.

    Raises:
        SourceError: this is no list: a column is missing or unknown, it has no rows, or it is not UTF-8 or Parquet.
    """
    if not path.is_file():
        raise SourceError("there is no such file.", path=path, hint="Check the path.")
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, _changed_ns: int, _size: int) -> VideoList:
    shots: dict[tuple[Path, float, float], Shot] = {}
    errors: dict[str, SourceError] = {}
    rows: list[tuple[str, Shot]] = []

    def blame(row: str, what: object) -> None:
        errors[row] = SourceError(str(what), path=path, episode=row, hint="Correct the list.")

    for row, values in _rows(path):
        try:
            rows.append((row, _shot(values, row, path)))
        except _BadRow as error:
            blame(row, error)
    if not rows and not errors:
        raise SourceError("the list has no rows.", path=path, hint="Give one with a row a video.")
    root = _root([_path(shot) for _, shot in rows], path)
    for row, shot in rows:
        first = shots.setdefault(_key(shot), replace(shot, file=_path(shot).relative_to(root).as_posix()))
        if first.row == row:
            continue
        if set(shot.about.instructions) <= set(first.about.instructions):
            blame(row, f"this is the same as {first.row}.")
        elif (shot.about.task, shot.about.attributes) != (first.about.task, first.about.attributes):
            blame(row, f"this is the same as {first.row}, of another task, licence, source or url.")
        else:
            shots[_key(shot)] = replace(first, about=first.about | shot.about)
    for earlier, later in _overlapping(list(shots.values())):
        blame(later.row, f"this overlaps {earlier.row}: both show second {later.start_seconds:g} of {later.file}.")
        del shots[_key(later)]
    in_order = tuple(errors[row] for row in sorted(errors, key=natural_key))
    videos = {shot.file: _path(shot) for shot in shots.values()}
    return VideoList(shots=tuple(shots.values()), errors=in_order, videos=MappingProxyType(videos))


def is_list(path: Path) -> bool:
    """Whether a Parquet file has the column of a list. Raises SourceError where it cannot be read."""
    with open_parquet(path) as file:
        return any(name in PATHS for name in file.schema_arrow.names)


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(`row 3`, cells by column) of a file with the right columns."""
    if path.suffix.lower() == ".parquet":
        with open_parquet(path) as table:
            _check_columns(table.schema_arrow.names, path)
            values = table.read().to_pylist()
        yield from ((f"row {number}", row) for number, row in enumerate(values, 1))
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _check_columns(header, path)
            number = 1
            for cells in reader:
                number += 1
                if len(cells) != len(header) and cells:
                    what = f"row {number} has {len(cells)} cells for {len(header)} columns."
                    raise SourceError(what, path=path, hint="Put texts with commas in quotes.")
                if cells:
                    yield f"row {number}", _split(dict(zip(header, cells, strict=True)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"this is no CSV in UTF-8 ({error}).", path=path, hint="Save it as one.") from error


def _check_columns(names: list[str], path: Path) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    doubled = sorted({name for name in names if names.count(name) > 1})
    hint = f"Columns are {', '.join(COLUMNS)}."
    if sum(name in names for name in PATHS) != 1:
        raise SourceError("a list of videos has one column 'path'.", path=path, hint=hint)
    if unknown or doubled:
        what = f"columns {', '.join(unknown or doubled)} are {'not known' if unknown else 'there more than once'}."
        raise SourceError(what, path=path, hint=hint)


def _split(cells: Mapping[str, str]) -> Mapping[str, Any]:
    return {name: cell.split(SEPARATOR) if name in about.INSTRUCTIONS else cell.strip() for name, cell in cells.items()}


def _shot(values: Mapping[str, Any], row: str, path: Path) -> Shot:
    text = next(values[name] for name in PATHS if name in values)
    if not isinstance(text, str) or not text:
        raise _BadRow("there is no path.")
    if "://" in text:
        raise _BadRow(f"{text} is a URL; download it first.")
    folder = path.absolute().parent
    video = Path(os.path.normpath(folder / text))
    if origin(path) is not None and not video.is_relative_to(folder):
        raise _BadRow(f"{text} leaves the folder of the list, which comes from the Hub.")
    start, stop = _seconds(values, START), _seconds(values, END)
    if stop is not None and stop <= (start or 0):
        raise _BadRow(f"it ends at {stop:g} s, not after its start at {start or 0:g} s.")
    try:
        said: About = about.from_values(values)
    except ValueError as error:
        raise _BadRow(f"{error}.") from error
    return Shot(
        place=video,
        file="",
        name=video.stem,
        start_seconds=start or 0.0,
        stop_seconds=stop,
        about=said,
        listed_in=path,
        row=row,
    )


def _seconds(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise _BadRow(f"{name!r} is {value!r}, not a number of seconds.") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise _BadRow(f"{name!r} is {value}, not a number of seconds from 0 on.")
    return seconds


def _root(videos: list[Path], path: Path) -> Path:
    """The folder of the list if all videos are below it, or else the one that they have in common."""
    folder = path.absolute().parent
    if all(video.is_relative_to(folder) for video in videos):
        return folder
    return Path(os.path.commonpath([video.parent for video in videos]))


def _overlapping(shots: list[Shot]) -> Iterator[tuple[Shot, Shot]]:
    """(earlier, later) for each shot that begins before one of the same video has ended."""
    in_time = sorted(shots, key=lambda shot: (_path(shot), shot.start_seconds))
    last: Shot | None = None
    for shot in in_time:
        if last is not None and last.place == shot.place and shot.start_seconds < _stop(last):
            yield last, shot
        else:
            last = shot


def _path(shot: Shot) -> Path:
    assert isinstance(shot.place, Path)
    return shot.place


def _stop(shot: Shot) -> float:
    return math.inf if shot.stop_seconds is None else shot.stop_seconds


def _key(shot: Shot) -> tuple[Path, float, float]:
    return _path(shot), shot.start_seconds, _stop(shot)
