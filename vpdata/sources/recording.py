"""A plain folder on its way to one clock: everything of an episode but its pixels.

Enters: the path of the folder, and what the user says. Leaves: a `Recording`, whose streams are in step or resampled;
or a SourceError that lists what is wrong with which camera or row, and when.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vpdata import spaces
from vpdata.errors import SourceError, VpdataError
from vpdata.schema import NAME_PATTERN
from vpdata.sources import SourceOptions, clock
from vpdata.sources.cameras import default_cameras, wrist_first
from vpdata.sources.clock import Piece, Stream, Take
from vpdata.sources.files import natural_key
from vpdata.sources.notes import Notes, read_notes
from vpdata.sources.table import Block, read_table, read_times
from vpdata.sources.timeline import read_timestamps
from vpdata.sources.video import EXTENSIONS

TABLES = ("data.csv", "data.parquet")
TABLE_SUFFIXES = (".csv", ".parquet")
NOTES = "episode.json"
ACTIONS = "actions"
RESAMPLE_HINT = "Record again, or bring all to one clock with --resample."


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One camera: its names, its video, and its frames' timestamps in ticks of the video and in seconds."""

    name: str
    path: Path
    timestamps: tuple[int, ...]
    tick_seconds: Fraction
    stream: Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Actions or states as recorded: the name of their space, and rows (N, D) in its order."""

    space: str
    values: NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A folder, read but for the pixels, and where its streams go on one clock.

    `first` is the stream that the clock starts with; `pieces` is one if the streams are in step.
    """

    path: Path
    notes: Notes
    views: tuple[View, ...]
    first: Stream
    actions: Rows | None
    state: Rows | None
    fps: float
    is_in_step: bool
    pieces: tuple[Piece, ...]

    def episode_id(self, part: int) -> str:
        """The folder's name, with the number of the piece where there are several."""
        name = self.path.resolve().name
        return name if len(self.pieces) == 1 else f"{name}_part{part}"

    def actions_of(self, piece: Piece) -> NDArray[np.floating] | None:
        """(n, D), n >= 1, for the first n ticks of the piece; None where it has none."""
        if self.actions is None:
            return None
        entries = piece.entries[ACTIONS]
        rows = self.actions.values[entries[entries < len(self.actions.values)]]
        return rows if len(rows) else None

    def state_of(self, piece: Piece) -> NDArray[np.floating] | None:
        """(ticks, D), None where the table has no states."""
        return None if self.state is None else self.state.values[piece.entries[self.first.name]]


def read_recording(folder: Path, options: SourceOptions) -> Recording:
    """Reads a folder but for the pixels.

    Raises:
        SourceError: a file is missing, broken or of another form; or the streams are out of step and are not to be
            resampled, or cannot be.
    """
    notes = read_notes(folder / NOTES)
    views = _views(folder, options.cameras or notes.cameras)
    table_path = _table_path(folder)
    table = None if table_path is None else read_table(table_path)
    streams = [view.stream for view in views]
    if table is not None and table_path is not None:
        streams.insert(0, Stream(name=table_path.name, entry="row", times=table.times))
    for stream in streams:
        if backward := clock.runs_backward(stream):
            raise SourceError(backward, path=folder, hint="Correct the times; this is not repaired.")
    fps = options.fps or notes.fps or clock.rate_of(streams[0])
    if fps is None:
        what = f"{streams[0].name} shows one moment and so no rate."
        raise SourceError(what, path=folder, hint="Say it with --fps, or as fps in episode.json.")
    place = table_path or folder / NOTES
    actions = _in_space("action", notes.action_space, None if table is None else table.actions, path=place)
    state = _in_space("state", notes.state_space, None if table is None else table.state, path=place)
    tolerance = options.tolerance_seconds
    if tolerance is not None and options.resample:  # what the nearest entries would do better is out of step
        tolerance = min(tolerance, 0.5 / fps)
    problems = clock.findings(streams, fps=fps, tolerance_seconds=tolerance)
    if problems and not options.resample:
        raise SourceError(clock.listed(problems, fps=fps), path=folder, hint=RESAMPLE_HINT)
    if table is not None and actions is not None:
        take: Take = "hold" if notes.actions_hold else "once"
        streams.append(Stream(name=ACTIONS, entry="row", times=table.times, take=take))
    return Recording(
        path=folder,
        notes=notes,
        views=views,
        first=streams[0],
        actions=actions,
        state=state,
        fps=fps,
        is_in_step=not problems,
        pieces=_resampled(streams, problems, fps=fps, options=options, path=folder)
        if problems
        else (clock.in_step(streams, fps=fps),),
    )


def _resampled(
    streams: Sequence[Stream], problems: Sequence[str], *, fps: float, options: SourceOptions, path: Path
) -> tuple[Piece, ...]:
    for stream in streams:
        if stream.take == "once" and clock.drift_seconds(stream, fps=fps) > 0.5 / fps:
            raise SourceError(
                f"{clock.rate_of(stream):g} actions a second are not resampled to {fps:g}: steps would be lost or done "
                "twice.",
                path=path,
                hint="Leave the rate out; or, if each action holds until the next (joint targets, velocities), say "
                '"actions_hold": true in episode.json.',
            )
    pieces = clock.resample(streams, fps=fps, tolerance_seconds=options.tolerance_seconds)
    if not pieces:
        what = f"at no tick is there an entry of every stream; {clock.listed(problems, fps=fps)}"
        raise SourceError(what, path=path, hint="Are all times seconds on one clock? CAMERA.csv says a camera's.")
    return pieces


def _table_path(folder: Path) -> Path | None:
    found = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(found) > 1:
        raise SourceError(f"there is a {' and a '.join(TABLES)}.", path=folder, hint="Remove one of them.")
    return found[0] if found else None


def _views(folder: Path, wanted: Mapping[str, str]) -> tuple[View, ...]:
    videos: dict[str, Path] = {}
    files = sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: natural_key(path.name))
    for path in files:
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
            if path.stem in videos:
                what = f"{path.name} and {videos[path.stem].name} are both the camera {path.stem!r}."
                raise SourceError(what, path=folder, hint="Rename one of them.")
            videos[path.stem] = path
    for path in files:
        if (
            path.suffix in TABLE_SUFFIXES
            and path.name not in TABLES
            and not (path.suffix == ".csv" and path.stem in videos)
        ):
            what = f"{path.name} is neither {' nor '.join(TABLES)} nor CAMERA.csv of a camera."
            raise SourceError(what, path=folder, hint="Rename it, or move it elsewhere.")
    return tuple(
        _view(folder, videos, name, stem) for name, stem in wrist_first(wanted or _default_cameras(videos, folder))
    )


def _default_cameras(videos: Mapping[str, Path], folder: Path) -> dict[str, str]:
    if not videos:
        raise SourceError("there is no video in this folder.", path=folder, hint="One a camera is needed.")
    return default_cameras({stem: stem for stem in videos}, path=folder)


def _view(folder: Path, videos: Mapping[str, Path], name: str, stem: str) -> View:
    if stem not in videos:
        what = (
            f"camera {name!r} is to come from {stem!r}, which is not here; cameras here: {', '.join(videos) or 'none'}."
        )
        raise SourceError(what, path=folder, hint="Choose with --camera NAME=FILE_STEM.")
    if NAME_PATTERN.fullmatch(name) is None:
        raise SourceError(f"camera name {name!r} is not [a-z0-9_]+.", path=folder, hint="Choose with --camera.")
    timestamps, tick = read_timestamps(videos[stem])
    times = np.array([float(timestamp * tick) for timestamp in timestamps])
    csv_path = folder / f"{stem}.csv"
    if csv_path.is_file() and csv_path.name not in TABLES:
        times = read_times(csv_path)
        if len(times) != len(timestamps):
            what = f"{len(times)} rows for the {len(timestamps)} frames of {videos[stem].name}."
            raise SourceError(what, path=csv_path, hint="It is not known which belong together; record again.")
    stream = Stream(name=f"camera {name}", entry="frame", times=times)
    return View(name=name, path=videos[stem], timestamps=timestamps, tick_seconds=tick, stream=stream)


def _in_space(
    kind: Literal["action", "state"], declared: str | None, block: Block | None, *, path: Path
) -> Rows | None:
    """The rows in the order of their space. Raises SourceError where the columns are not those of a declared one."""
    if block is None:
        if declared is not None:
            what = f"{kind}_space is {declared!r}, but there are no columns {kind}_NAME."
            raise SourceError(what, path=path, hint=f"Leave {kind}_space out of {NOTES}, or add the columns.")
        return None
    if declared is None:
        if all(name.isdecimal() for name in block.names):
            what = f"the {kind} columns are only numbered, so nothing tells them from another robot's."
            raise SourceError(
                what, path=path, hint=f"Name what they are ({kind}_gripper), or say {kind}_space in {NOTES}."
            )
        return Rows(space=spaces.name_of(kind, block.names), values=block.values)
    try:
        space = spaces.load(declared)
    except VpdataError as error:
        raise SourceError(error.what, path=path, hint=error.hint) from error
    names = tuple(dimension.name for dimension in space.dimensions)
    numbers = tuple(str(i) for i in range(space.size))
    order = next((order for order in (names, numbers) if sorted(order) == sorted(block.names)), None)
    if order is None or space.kind != kind:
        raise SourceError(
            f"{kind} columns are {', '.join(block.names)}; the {space.kind} space {declared} has {', '.join(names)}.",
            path=path,
            hint=f"Name the columns {kind}_NAME by these, or {kind}_0, {kind}_1, … in this order.",
        )
    return Rows(space=declared, values=block.values[:, [block.names.index(name) for name in order]])
