"""DROID as it was recorded: one folder an episode, with the robot's steps and a video a camera.

    IRIS/success/2023-12-04/Mon_Dec__4_15:52:01_2023/
      trajectory.h5                 action/*, observation/robot_state/*, observation/timestamp/*; a row a step
      metadata_IRIS+….json          which camera is which (`droid_notes`)
      recordings/MP4/SERIAL.mp4     the left eye of each ZED camera; a frame a step

Enters: such a folder or a tree of them. Leaves: one episode a folder.

DROID's `collect_trajectory` reads the cameras and the robot, then acts, then writes both as one step: row t was
observed before `action[t]`. A camera writes one frame whenever it is read, so frame t is that of step t, whatever the
times in the video say. Users report videos that end one frame before the steps; DROID's own reader then stops there,
and so does this one.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Camera, Episode, Scalar
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, checks, hdf5
from vpdata.sources.cameras import wrist_first
from vpdata.sources.decoder import Decoder, VideoReader
from vpdata.sources.droid_notes import Notes, read_notes
from vpdata.sources.files import content_digest, file_digest, natural_key, refuse_filter_key, refuse_resampling
from vpdata.sources.timeline import Timeline, read_timestamps

TRAJECTORY = "trajectory.h5"
DEFAULT_FPS = 15.0
CAMERAS = {"wrist": "wrist", "left": "left", "right": "right"}
ACTION_SPACES = {
    f"droid_{name}_action": (f"action/{name}", "action/gripper_position")
    for name in ("cartesian_velocity", "joint_velocity", "cartesian_position", "joint_position")
}
DEFAULT_ACTION_SPACE = "droid_cartesian_velocity_action"
STATE_SPACE = "droid_state"
STATE = tuple(
    f"observation/robot_state/{name}" for name in ("joint_positions", "cartesian_position", "gripper_position")
)
SKIPPED = "observation/timestamp/skip_action"
STEP_START = "observation/timestamp/control/step_start"  # milliseconds since the epoch
DIGITS = 2  # of rates in attributes
MAX_MISSING = 1  # frames at the end of a video, or steps at the end of the trajectory


class Droid:
    """The `droid` source."""

    name = "droid"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The folders with a `trajectory.h5` at or below `path` in natural order. Raises SourceError for none."""
        if path.is_file() and path.name == TRAJECTORY:
            path = path.parent
        if path.is_file():
            raise SourceError(f"this is no {TRAJECTORY}.", path=path, hint="Give the folder of the episode.")
        if not path.is_dir():
            raise SourceError("there is no such file or folder.", path=path, hint="Check the path.")
        folders = [found.parent for found in path.rglob(TRAJECTORY)]
        files = [
            SourceFile(path=folder, name=path.resolve().name if folder == path else folder.relative_to(path).as_posix())
            for folder in folders
            if not any(part.startswith(".") for part in folder.relative_to(path).parts)
        ]
        if not files:
            hint = f"Files ending in .h5 and named {TRAJECTORY} were looked for."
            raise SourceError("no DROID episode in this folder.", path=path, hint=hint)
        return tuple(sorted(files, key=lambda file: natural_key(file.name)))

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The folder's one episode.

        Raises:
            SourceError: a file is missing, broken or of another form, or a video has not as many frames as there are
                steps.
        """
        refuse_filter_key(options, path=file.path)
        refuse_resampling(options, path=file.path)
        notes = read_notes(file.path)
        views = _views(file.path, notes, options)
        with _steps(file.path) as steps:
            actions, _ = _arrays(steps, options, path=file.path)
            attributes = {**notes.attributes, **_measured(steps, path=file.path)}
        num_steps = _num_steps(views, len(actions), path=file.path)
        left_out = {"num_left_out_steps": len(actions) - num_steps}
        cameras = tuple(_camera(view) for view in views)
        fps = checks.frame_rate(None, options, default=DEFAULT_FPS, path=file.path)
        yield Episode(
            source=self.name,
            file=file.name,
            episode_id=file.path.resolve().name,
            content_digest=content_digest(
                _files_digest(file.path, views, notes),
                source=self.name,
                episode_id=_action_space(options, path=file.path),
                cameras=cameras,
                fps=fps,
                options=options,
            ),
            num_frames=num_steps,
            num_actions=num_steps,
            fps=fps,
            cameras=cameras,
            action_space=_action_space(options, path=file.path),
            state_space=STATE_SPACE,
            instructions=(options.instruction,) if options.instruction else notes.instructions,
            attributes={**attributes, **left_out},
        )

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:
        """Opens the episode that `episodes` described."""
        views = _views(file.path, read_notes(file.path), options)
        with _steps(file.path) as steps:
            actions, state = _arrays(steps, options, path=file.path)
        with ExitStack() as stack:
            readers = {}
            for view, camera in zip(views, episode.cameras, strict=True):
                timeline = view.timeline(episode.num_frames, fps=episode.fps)
                decoder = stack.enter_context(Decoder(view.path, timeline))
                readers[camera.name] = VideoReader(decoder, timeline, camera)
            yield DroidReader(
                readers=readers, actions=actions[: episode.num_actions], state=state[: episode.num_frames]
            )


SOURCE = Droid()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One camera: its canonical name, its serial number, its video, and the timestamps in it, in ticks."""

    name: str
    serial: str
    path: Path
    timestamps: tuple[int, ...]
    tick_seconds: Fraction

    def timeline(self, num_frames: int, *, fps: float) -> Timeline:
        """The first frames, one a step."""
        shown = tuple(range(num_frames))
        return Timeline(timestamps=self.timestamps, tick_seconds=self.tick_seconds, fps=Fraction(fps), shown=shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class DroidReader:
    """An `EpisodeReader` over one video a camera and the steps' arrays."""

    readers: Mapping[str, VideoReader]
    actions: NDArray[np.generic]
    state: NDArray[np.generic]

    def frames(self, camera: str, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """Yields RGB `HWC` frames [start, stop) of the camera with that canonical name."""
        return self.readers[camera].frames(camera, start, stop)


def _views(folder: Path, notes: Notes, options: SourceOptions) -> tuple[View, ...]:
    views: list[View] = []
    for name, role in wrist_first(options.cameras or CAMERAS):
        serial = notes.serials.get(role, role)
        path = folder / "recordings" / "MP4" / f"{serial}.mp4"
        if not path.is_file():
            there = ", ".join(sorted(video.stem for video in path.parent.glob("*.mp4"))) or "none"
            roles = ", ".join(f"{one} {notes.serials[one]}" for one in notes.serials)
            what = f"camera {name!r} is to come from {role!r}, which has no video; videos: {there}; cameras: {roles}."
            hint = "Download recordings/MP4, or choose with --camera NAME=ROLE or NAME=SERIAL."
            raise SourceError(what, path=folder, hint=hint)
        timestamps, tick = read_timestamps(path)
        if serial in (view.serial for view in views):
            what = f"camera {name!r} is to come from {serial!r}, which another one comes from already."
            raise SourceError(what, path=folder, hint="Choose others with --camera NAME=ROLE or NAME=SERIAL.")
        views.append(View(name=name, serial=serial, path=path, timestamps=timestamps, tick_seconds=tick))
    return tuple(views)


@contextmanager
def _steps(folder: Path) -> Iterator[h5py.File]:
    with hdf5.open_file(folder / TRAJECTORY) as steps, hdf5.reading(folder / TRAJECTORY):
        yield steps


def _action_space(options: SourceOptions, *, path: Path) -> str:
    name = options.action_space or DEFAULT_ACTION_SPACE
    if name not in ACTION_SPACES:
        what = f"DROID has no actions in {name!r}."
        raise SourceError(what, path=path, hint=f"Choose --action-space from {', '.join(ACTION_SPACES)}.")
    return name


def _arrays(steps: h5py.File, options: SourceOptions, *, path: Path) -> tuple[hdf5.Array, hdf5.Array]:
    """Actions and state, (steps, D) each. Raises SourceError where lengths differ or a number is not finite."""
    space = _action_space(options, path=path)
    names = (*ACTION_SPACES[space], *STATE)
    columns = {name: hdf5.dataset(steps, name, path=path, episode=TRAJECTORY)[:] for name in names}
    lengths = {name: len(column) for name, column in columns.items()}
    length = checks.equal_length(lengths, path=path, episode=TRAJECTORY)
    if not length:
        raise SourceError("there are no steps.", path=path, episode=TRAJECTORY, hint="Leave this episode out.")
    actions, state = (
        np.concatenate([columns[name].reshape(length, -1) for name in side], axis=1)
        for side in (ACTION_SPACES[space], STATE)
    )
    return (
        checks.in_space(actions, name="action", space=space, path=path, episode=TRAJECTORY),
        checks.in_space(state, name="robot_state", space=STATE_SPACE, path=path, episode=TRAJECTORY),
    )


def _num_steps(views: Sequence[View], num_actions: int, *, path: Path) -> int:
    """Steps that every camera shows. Raises SourceError where lengths differ by more than `MAX_MISSING`."""
    lengths = {f"camera {view.name} ({view.path.name})": len(view.timestamps) for view in views}
    lengths[TRAJECTORY] = num_actions
    if max(lengths.values()) - min(lengths.values()) > MAX_MISSING:
        checks.equal_length(lengths, path=path, episode=path.name)
    return min(lengths.values())


def _camera(view: View) -> Camera:
    with Decoder(view.path, view.timeline(1, fps=1.0)) as decoder:
        height, width, _ = decoder.rgb(0).shape
    return Camera(name=view.name, recorded_name=view.serial, height=height, width=width)


def _measured(steps: h5py.File, *, path: Path) -> dict[str, Scalar]:
    """How many actions were skipped as the operator was not in control, and how many steps a second were made."""
    measured: dict[str, Scalar] = {}
    if SKIPPED in steps:
        measured["num_skipped_actions"] = int(np.sum(hdf5.dataset(steps, SKIPPED, path=path, episode=None)[:] != 0))
    if STEP_START in steps:
        seconds = hdf5.dataset(steps, STEP_START, path=path, episode=None)[:] / 1000
        if len(seconds) > 1 and seconds[-1] > seconds[0]:
            measured["measured_fps"] = round(float((len(seconds) - 1) / (seconds[-1] - seconds[0])), DIGITS)
    return measured


def _files_digest(folder: Path, views: Sequence[View], notes: Notes) -> str:
    """Hex SHA-256 of the steps, the videos and the language; not of the other notes, which name people."""
    files = [file_digest(folder / TRAJECTORY), *(file_digest(view.path) for view in views)]
    return hashlib.sha256(json.dumps([files, notes.instructions]).encode()).hexdigest()
