"""`meta/` of a LeRobot data set, v2.0, v2.1 or v3.0: what it holds and in which files, but no rows and no pixels.

Enters: the folder of a data set. Leaves: a `Layout`, or a SourceError that names the file and what is wrong with it.

    v2.1  meta/{info.json,tasks.jsonl,episodes.jsonl}   one Parquet file and one mp4 a camera for every episode
    v3.0  meta/{info.json,tasks.parquet,episodes/…}     many episodes in one Parquet file and in one mp4

Where the files lie, the templates of `info.json` say. Where an episode lies in an mp4 that it shares is counted: the
lengths of the episodes before it, in the order of the file, add up. The times that v3.0 gives are only compared.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from vpdata.errors import SourceError
from vpdata.sources import SourceOptions
from vpdata.sources.checks import frame_rate
from vpdata.sources.parquet import open_parquet

INFO = "meta/info.json"
TASKS, EPISODES = "meta/tasks", "meta/episodes"
VERSIONS = ("v2.0", "v2.1", "v3.0")
IMAGES = ("image", "video")
FETCH_HINT = "It may have been downloaded in part; download the data set again."
CONVERT_HINT = "Convert it with LeRobot's own scripts, up to v2.1 or v3.0."


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature of `info.json`.

    Attributes:
        dtype: `video`, `image` or a type of numbers.
        names: one a column, or None.
        space: the name of the space that the columns are in, where `vpdata export` wrote it, or else None.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None
    space: str | None
    is_depth: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Where an episode lies in an mp4: it begins at frame `start` of the `num_frames` that all episodes in it have.

    `start_seconds` is when the data set says that it begins.
    """

    file: str
    start: int
    num_frames: int
    start_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One episode.

    Attributes:
        data: its Parquet file, which it shares where the layout does.
        videos: by feature key.
        instructions: all that `vpdata export` wrote, of which its task is only the first; none otherwise.
    """

    index: int
    num_frames: int
    data: str
    videos: Mapping[str, Stretch]
    instructions: tuple[str, ...]

    @property
    def name(self) -> str:
        """As LeRobot calls its files: `episode_000012`."""
        return f"episode_{self.index:06d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A data set. Paths in it are relative to `root`; `tasks` are texts by `task_index`."""

    root: Path
    version: str
    fps: float
    robot_type: str
    features: Mapping[str, Feature]
    tasks: Mapping[int, str]
    entries: tuple[Entry, ...]

    @property
    def shares_files(self) -> bool:
        """Whether files hold many episodes."""
        return self.version == "v3.0"

    @property
    def cameras(self) -> tuple[str, ...]:
        """Keys of the features that are colour pictures."""
        return tuple(key for key, one in self.features.items() if one.dtype in IMAGES and not one.is_depth)


def read_layout(root: Path) -> Layout:
    """Reads `meta/`, or knows it from the last time, unless a file has changed.

    Raises:
        SourceError: a file is missing, damaged or contradicts another, or the version is another one.
    """
    stamps = tuple(
        (path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted((root / "meta").rglob("*.*"))
    )
    return _read_layout(root, stamps)


@lru_cache(maxsize=4)
def _read_layout(root: Path, _stamps: object) -> Layout:
    path = root / INFO
    info = read_json(path)
    version = info.get("codebase_version")
    if version not in VERSIONS:
        what = f"codebase_version is {version!r}; {', '.join(VERSIONS)} are read."
        raise SourceError(what, path=path, hint=CONVERT_HINT)
    try:
        shared = version == "v3.0"
        features = {key: _feature(key, said) for key, said in info["features"].items()}
        rows = _rows_v3(root) if shared else _read_jsonl(root / f"{EPISODES}.jsonl")
        rows.sort(key=lambda row: int(row["episode_index"]))
        _check_complete([int(row["episode_index"]) for row in rows], info, path=root / EPISODES)
        robot_type = info.get("robot_type") or ""
        if not isinstance(robot_type, str):
            raise ValueError(f"robot_type {robot_type!r} is no text")
        if info["fps"] is None:
            raise ValueError("fps is null")
        files = _Files(info=info, videos=[key for key, one in features.items() if one.dtype == "video"])
        return Layout(
            root=root,
            version=version,
            fps=frame_rate(info["fps"], SourceOptions(), default=0, path=path),
            robot_type=robot_type,
            features=features,
            tasks=_tasks_v3(root) if shared else _tasks_v2(root),
            entries=tuple(files.shared(rows) if shared else files.own(rows)),
        )
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        what = f"meta/ is not as LeRobot {version} writes it ({type(error).__name__}: {error})."
        raise SourceError(what, path=path, hint="Copy or download it again.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """Where the episodes of `meta/episodes` lie; `videos` are the keys of video features."""

    info: Mapping[str, Any]
    videos: Sequence[str]

    def own(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
        """v2.1: an episode has files of its own."""
        for row in rows:
            index, num_frames = int(row["episode_index"]), int(row["length"])
            at = {"episode_index": index, "episode_chunk": index // int(self.info["chunks_size"])}
            yield Entry(
                index=index,
                num_frames=num_frames,
                data=self.info["data_path"].format(**at),
                videos={
                    key: Stretch(
                        file=self.info["video_path"].format(**at, video_key=key),
                        start=0,
                        num_frames=num_frames,
                        start_seconds=0.0,
                    )
                    for key in self.videos
                },
                instructions=_instructions(row),
            )

    def shared(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
        """v3.0: the rows say in which files an episode lies."""
        stretches = {key: self._stretches(key, rows) for key in self.videos}
        for number, row in enumerate(rows):
            chunk, file = int(row["data/chunk_index"]), int(row["data/file_index"])
            yield Entry(
                index=int(row["episode_index"]),
                num_frames=int(row["length"]),
                data=self.info["data_path"].format(chunk_index=chunk, file_index=file),
                videos={key: laid_out[number] for key, laid_out in stretches.items()},
                instructions=_instructions(row),
            )

    def _stretches(self, key: str, rows: Sequence[Mapping[str, Any]]) -> dict[int, Stretch]:
        """By the number of the row: the lengths of all episodes of one mp4 are added up in the order of their times."""
        by_file: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            chunk, file = int(row[f"videos/{key}/chunk_index"]), int(row[f"videos/{key}/file_index"])
            by_file[chunk, file].append(number)
        stretches = {}
        for (chunk, file), numbers in by_file.items():
            starts = {number: float(rows[number][f"videos/{key}/from_timestamp"]) for number in numbers}
            total = sum(int(rows[number]["length"]) for number in numbers)
            start = 0
            for number in sorted(numbers, key=lambda number: (starts[number], number)):
                stretches[number] = Stretch(
                    file=self.info["video_path"].format(video_key=key, chunk_index=chunk, file_index=file),
                    start=start,
                    num_frames=total,
                    start_seconds=starts[number],
                )
                start += int(rows[number]["length"])
        return stretches


def _instructions(row: Mapping[str, Any]) -> tuple[str, ...]:
    texts = row.get("instructions") or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"instructions {texts!r} of an episode are not a list of texts")
    return tuple(texts)


def _feature(key: str, said: Mapping[str, Any]) -> Feature:
    shape = tuple(int(size) for size in said["shape"])
    about = {**(said.get("video_info") or {}), **(said.get("info") or {})}
    names = _flat(said.get("names"))
    fits = names is not None and len(names) == math.prod(shape) and len(set(names)) == len(names)
    is_depth = about.get("video.is_depth_map") or about.get("is_depth_map") or False
    if not isinstance(is_depth, bool):
        raise ValueError(f"is_depth_map of {key!r} is {is_depth!r}")
    if len(shape) == 3 and said["dtype"] not in IMAGES:
        pa.type_for_alias(said["dtype"])  # raises ValueError: a camera would be left out without a word
    return Feature(
        key=key,
        dtype=said["dtype"],
        shape=shape,
        names=names if fits else None,
        space=said.get("space"),
        is_depth=is_depth,
    )


def _flat(names: Any) -> tuple[str, ...] | None:
    """Names as LeRobot's writers nest them: a list, lists of lists, an object of lists, or of positions by name."""
    if isinstance(names, str):
        return (names,)
    if isinstance(names, dict):
        if names and all(isinstance(position, int) for position in names.values()):
            return tuple(sorted(names, key=lambda name: int(names[name])))
        names = list(names.values())
    if not isinstance(names, list):
        return None
    parts = [_flat(name) for name in names]
    return tuple(name for part in parts for name in part or ()) or None


def _check_complete(indices: Sequence[int], info: Mapping[str, Any], *, path: Path) -> None:
    if len(set(indices)) != len(indices):
        raise SourceError("an episode_index comes twice.", path=path, hint="Copy or download it again.")
    announced = int(info["total_episodes"])
    if len(indices) != announced:
        what = f"{INFO} announces {announced} episodes, and here are {len(indices)}."
        raise SourceError(what, path=path, hint=FETCH_HINT)


def _rows_v3(root: Path) -> list[dict[str, Any]]:
    """The rows of all files of `meta/episodes`, without the statistics."""
    paths = sorted((root / EPISODES).rglob("*.parquet"))
    if not paths:
        raise SourceError("there is no Parquet file.", path=root / EPISODES, hint=FETCH_HINT)
    rows: list[dict[str, Any]] = []
    for path in paths:
        with open_parquet(path) as file:
            wanted = ("episode_index", "length", "instructions", "data/", "videos/")
            names = [name for name in file.schema_arrow.names if name.startswith(wanted)]
            rows.extend(file.read(columns=names).to_pylist())
    return rows


def _tasks_v3(root: Path) -> dict[int, str]:
    """Tasks by index. Their text is a column, or was a pandas index, with a name or without one."""
    path = root / f"{TASKS}.parquet"
    with open_parquet(path) as file:
        table = file.read()
    texts = [
        field.name for field in table.schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    text = next((name for name in ("task", "__index_level_0__", *texts) if name in texts), None)
    if text is None:
        raise SourceError(f"there is no text, only {', '.join(table.column_names)}.", path=path, hint=FETCH_HINT)
    return dict(zip(table["task_index"].to_pylist(), table[text].to_pylist(), strict=True))


def _tasks_v2(root: Path) -> dict[int, str]:
    path = root / f"{TASKS}.jsonl"
    tasks = {int(row["task_index"]): row["task"] for row in _read_jsonl(path)}
    for text in tasks.values():
        if not isinstance(text, str):
            raise SourceError(f"a task is {text!r}, which is no text.", path=path, hint="Copy or download it again.")
    return tasks


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object that the file holds. Raises SourceError where it is missing or holds something else."""
    if not path.is_file():
        raise SourceError("is missing.", path=path, hint=FETCH_HINT)
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise SourceError(f"this is not JSON ({error}).", path=path, hint="Copy or download it again.") from error
    if not isinstance(value, dict):
        raise SourceError("this is not a JSON object.", path=path, hint="Copy or download it again.")
    return value


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise SourceError("is missing.", path=path, hint=FETCH_HINT)
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise SourceError(f"a line is not JSON ({error}).", path=path, hint="Copy or download it again.") from error
