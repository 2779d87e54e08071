"""LeRobot data sets, v2.0, v2.1 and v3.0, on disk or on the Hub.

Enters: the folder of a data set, one above several, or `hf://datasets/USER/NAME[@REVISION]`. Leaves: one episode for
each of theirs, aligned as it is stored: a row holds what was observed, and the action done right after that. Which file
holds what, `lerobot_meta` says; of a video that many episodes share only the wanted frames are decoded.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Episode, Scalar
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, hub
from vpdata.sources.checks import check_array, frame_rate
from vpdata.sources.decoder import VideoReader
from vpdata.sources.files import content_digest, file_digest, natural_key, refuse_filter_key, refuse_resampling
from vpdata.sources.lerobot_cameras import camera_keys, describe_camera, open_camera, time_error
from vpdata.sources.lerobot_meta import FETCH_HINT, INFO, Entry, Feature, Layout, read_layout
from vpdata.sources.lerobot_rows import ImageReader, Rows, read_rows
from vpdata.sources.lerobot_spaces import space_of

SUFFIXES = (".json", ".jsonl", ".parquet", ".mp4")  # of the files that are downloaded
ACTIONS, STATES = ("action", "actions"), ("observation.state", "state")  # keys; the first that is there is read
TASK, TIME, SUCCESS = "task_index", "timestamp", "next.success"
LFS_POINTER = b"version https://git-lfs"
MAX_LISTED = 5
DIGITS = 6  # of seconds in attributes

Array = NDArray[np.generic]


class LeRobot:
    """The `lerobot` source."""

    name = "lerobot"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The data sets at or below a path, or of a URL, in natural order. Raises SourceError where there is none."""
        return find_datasets(path, kind="LeRobot data set", mark=INFO)

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The episodes in order; one that cannot be used comes as the error that says why.

        Raises:
            SourceError: `meta/` cannot be read, or a camera is not there.
        """
        return describe_dataset(file, options, source=self.name, cameras=options.cameras)

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:  # noqa: ARG002
        """Opens an episode that `episodes` described."""
        with open_episode(file, episode) as reader:
            yield reader


SOURCE = LeRobot()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeRobotReader:
    """An `EpisodeReader` over one reader a camera and the rows of a Parquet file."""

    readers: Mapping[str, VideoReader | ImageReader]
    actions: Array | None
    state: Array | None

    def frames(self, camera: str, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """Yields RGB `HWC` frames [start, stop) of the camera with that canonical name."""
        return self.readers[camera].frames(camera, start, stop)


def find_datasets(path: Path, *, kind: str, mark: str) -> tuple[SourceFile, ...]:
    """The folders at or below a path that hold the file `mark`, in natural order; a URL of the Hub is downloaded first.

    Raises:
        SourceError: there is none, a data set is still packed, or it cannot be downloaded.
    """
    known_as = ""
    if hub.is_hub(path):
        wanted = hub.hub_path(path)
        known_as = f"{wanted.repo}/{wanted.inside}".rstrip("/")
        path = hub.download(path, suffixes=SUFFIXES)
    if path.is_file():
        hint = f"Unpack it: tar -xf {path.name}" if path.suffix == ".tar" else "Give the folder that holds meta/."
        raise SourceError("this is a file.", path=path, hint=hint)
    if not path.is_dir():
        raise SourceError("there is no such file or folder.", path=path, hint="Check the path.")
    found = []
    for folder, below, names in os.walk(path):
        root = Path(folder)
        if (root / mark).is_file():
            below.clear()
            inside = root.relative_to(path).as_posix()
            found.append(SourceFile(path=root, name=inside if inside != "." else known_as or path.resolve().name))
        elif "lerobot.tar" in names and "lerobot" not in below:
            raise SourceError("is still packed.", path=root / "lerobot.tar", hint="Unpack it: tar -xf lerobot.tar")
    if not found:
        raise SourceError(f"no {kind} in this folder.", path=path, hint=f"Folders with {mark} were looked for.")
    return tuple(sorted(found, key=lambda file: natural_key(file.name)))


def describe_dataset(
    file: SourceFile, options: SourceOptions, *, source: str, cameras: Mapping[str, str]
) -> Iterator[Episode | VpdataError]:
    """Describes the episodes of a data set for the source of that name; `cameras` is name -> key, empty for all.

    Raises:
        SourceError: as `LeRobot.episodes`.
    """
    refuse_filter_key(options, path=file.path)
    refuse_resampling(options, path=file.path)
    layout = read_layout(file.path)
    keys = camera_keys(layout, cameras)
    used = {name for entry in layout.entries for name in _files(entry, keys.values())}
    missing = {name for name in used if _is_missing(layout.root / name)}
    there = sorted(used - missing)
    with ThreadPoolExecutor() as pool:
        digests = dict(zip(there, pool.map(lambda name: file_digest(layout.root / name), there), strict=True))
    for entry in layout.entries:
        try:
            lacking = [name for name in _files(entry, keys.values()) if name in missing]
            if lacking:
                raise _incomplete(lacking, missing, layout, entry)
            described: Episode | VpdataError = _describe(layout, entry, keys, file, options, digests, source)
        except SourceError as error:
            described = SourceError(error.what, path=error.path, episode=error.episode or entry.name, hint=error.hint)
        yield described


@contextmanager
def open_episode(file: SourceFile, episode: Episode) -> Iterator[LeRobotReader]:
    """Opens an episode that `describe_dataset` described."""
    layout = read_layout(file.path)
    entry = next(entry for entry in layout.entries if entry.name == episode.episode_id)
    rows = _rows(layout, entry)
    with ExitStack() as stack:
        yield LeRobotReader(
            readers={camera.name: open_camera(camera, layout, entry, rows, stack) for camera in episode.cameras},
            actions=_values(_first_of(ACTIONS, layout), rows),
            state=_values(_first_of(STATES, layout), rows),
        )


def _files(entry: Entry, keys: Collection[str]) -> list[str]:
    """The files that an episode is read from."""
    return [entry.data, *(entry.videos[key].file for key in keys if key in entry.videos)]


def _is_missing(path: Path) -> bool:
    """Whether the file is not there, or only the note that Git leaves where it did not fetch it."""
    if not path.is_file():
        return True
    with path.open("rb") as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER


def _incomplete(lacking: Sequence[str], missing: Collection[str], layout: Layout, entry: Entry) -> SourceError:
    listed = ", ".join(lacking[:MAX_LISTED])
    what = f"files are missing, or only their Git LFS pointers are there: {listed}; {len(missing)} in all."
    return SourceError(what, path=layout.root, episode=entry.name, hint=FETCH_HINT)


def _first_of(keys: Sequence[str], layout: Layout) -> Feature | None:
    return next((layout.features[key] for key in keys if key in layout.features), None)


def _rows(layout: Layout, entry: Entry) -> Rows:
    rows = read_rows(
        layout.root / entry.data,
        keys=(*ACTIONS, *STATES, TASK, TIME, SUCCESS),
        index=entry.index,
        episode=entry.name,
        shares_file=layout.shares_files,
    )
    if len(rows.columns) != entry.num_frames:
        raise rows.error(f"the file holds {len(rows.columns)} rows of the episode, and meta/ says {entry.num_frames}.")
    lacking = [key for key, one in layout.features.items() if one.dtype != "video" and key not in rows.names]
    if lacking:
        raise rows.error(f"the file has no column {', '.join(map(repr, lacking))}, which info.json announces.")
    return rows


def _values(feature: Feature | None, rows: Rows) -> Array | None:
    """The feature's rows (N, D), with the bits they are stored in. Raises SourceError for other than finite numbers."""
    if feature is None:
        return None
    if len(feature.shape) != 1:
        raise rows.error(f"{feature.key!r} has shape {feature.shape}; rows of numbers are read.")
    return check_array(
        rows.matrix(feature.key),
        name=feature.key,
        size=feature.shape[0],
        path=rows.path,
        episode=rows.episode,
        columns=feature.names,
    )


def _instructions(entry: Entry, rows: Rows, layout: Layout) -> tuple[str, ...]:
    """Those of our own export, or else the texts of the rows' tasks, each once, in the order they come up.

    Raises:
        SourceError: a task is unknown.
    """
    if entry.instructions or not rows.has(TASK):
        return entry.instructions
    indices = [int(index) for index in dict.fromkeys(rows.one(TASK).tolist())]
    unknown = [index for index in indices if index not in layout.tasks]
    if unknown:
        raise rows.error(f"{TASK} is {unknown[0]}, which is not among the {len(layout.tasks)} tasks of meta/.")
    return tuple(dict.fromkeys(layout.tasks[index] for index in indices if layout.tasks[index]))


def _describe(
    layout: Layout,
    entry: Entry,
    keys: Mapping[str, str],
    file: SourceFile,
    options: SourceOptions,
    digests: Mapping[str, str],
    source: str,
) -> Episode:
    rows = _rows(layout, entry)
    cameras = tuple(describe_camera(name, key, layout, entry, rows) for name, key in keys.items())
    actions, state = _first_of(ACTIONS, layout), _first_of(STATES, layout)
    for feature in (actions, state):
        _values(feature, rows)
    action_space = None if actions is None else space_of("action", actions, layout, dataset=file.name)
    state_space = None if state is None else space_of("state", state, layout, dataset=file.name)
    texts = _instructions(entry, rows, layout)
    instructions = (options.instruction,) if options.instruction else texts
    fps = frame_rate(layout.fps, options, default=layout.fps, path=layout.root / INFO)
    starts = [rows.start, *(entry.videos[key].start for key in keys.values() if key in entry.videos)]
    names = [None if feature is None else [feature.key, feature.names, feature.space] for feature in (actions, state)]
    read = [[digests[name] for name in _files(entry, keys.values())], starts, instructions, layout.robot_type, names]
    return Episode(
        source=source,
        file=file.name,
        episode_id=entry.name,
        content_digest=content_digest(
            hashlib.sha256(json.dumps(read).encode()).hexdigest(),
            source=source,
            episode_id="",
            cameras=cameras,
            fps=fps,
            options=options,
        ),
        num_frames=entry.num_frames,
        num_actions=0 if actions is None else entry.num_frames,
        fps=fps,
        cameras=cameras,
        action_space=action_space,
        state_space=state_space,
        instructions=instructions,
        task="_".join(re.findall(r"\w+", texts[0].lower())) if texts else "",
        attributes=_attributes(layout, entry, keys, rows),
    )


def _attributes(layout: Layout, entry: Entry, keys: Mapping[str, str], rows: Rows) -> dict[str, Scalar]:
    attributes: dict[str, Scalar] = {"robot_type": layout.robot_type} if layout.robot_type else {}
    url = hub.origin(layout.root / INFO)
    if url is not None:
        attributes["url"] = url.removesuffix(f"/{INFO}")
    if rows.has(SUCCESS):
        attributes["success"] = bool(rows.one(SUCCESS)[-1])
    counted = np.arange(entry.num_frames) / layout.fps
    seconds = rows.one(TIME).astype(np.float64) if rows.has(TIME) else counted
    stretches = [entry.videos[key] for key in keys.values() if key in entry.videos]
    errors = [float(np.abs(seconds - counted).max()), *(time_error(stretch, layout, seconds) for stretch in stretches)]
    if max(errors) > 0.5 / layout.fps:
        attributes["max_time_error_seconds"] = round(max(errors), DIGITS)
    return attributes
