"""Plain folders, for everything made at home: one folder an episode, with one video a camera and a table of the robot.

    pick_cup/take_001/
      wrist.mp4  front.mkv       a camera each; its name is the file's
      front.csv                  optional: time_seconds of every frame, instead of the video's own timestamps
      data.csv or data.parquet   optional: time_seconds, state_NAME …, action_NAME …
      episode.json               optional: fps, instructions, task, spaces, … (`notes`)

Enters: such a folder or a tree of them. Leaves: one episode a folder, on one clock (`clock`): row i holds the state
seen at its time and the action done then. Streams out of step are refused, or resampled where that is asked for; a
folder may then give several episodes, one for each stretch without a hole.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Camera, Episode
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, clock
from vpdata.sources.decoder import Decoder, VideoReader
from vpdata.sources.files import content_digest, file_digest, natural_key, refuse_filter_key
from vpdata.sources.recording import NOTES, TABLE_SUFFIXES, TABLES, Recording, View, read_recording
from vpdata.sources.timeline import Timeline
from vpdata.sources.video import EXTENSIONS


class Folder:
    """The `folder` source."""

    name = "folder"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The folders at or below `path` that hold an episode, in natural order. Raises SourceError where none does."""
        if path.is_file():
            raise SourceError("this is a file.", path=path, hint="Give the folder of the episode, or one above it.")
        if not path.is_dir():
            raise SourceError("there is no such file or folder.", path=path, hint="Check the path.")
        found: dict[Path, SourceFile] = {}
        for entry in path.rglob("*"):
            hidden = any(part.startswith(".") for part in entry.relative_to(path).parts)
            if _belongs(entry) and not hidden and entry.is_file():
                name = entry.parent.relative_to(path).as_posix()
                name = path.resolve().name if name == "." else name
                found[entry.parent] = SourceFile(path=entry.parent, name=name)
        if not found:
            wanted = ", ".join(sorted(EXTENSIONS))
            raise SourceError(
                "no episode in this folder.", path=path, hint=f"Files ending in {wanted} were looked for."
            )
        return tuple(sorted(found.values(), key=lambda file: natural_key(file.name)))

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The folder's one episode, or several where it was resampled and has holes.

        Raises:
            SourceError: a file is missing, broken or of another form, or the streams are out of step.
        """
        refuse_filter_key(options, path=file.path)
        recording = read_recording(file.path, options)
        digest = _files_digest(file.path)
        cameras = tuple(_camera(view) for view in recording.views)
        for part in range(len(recording.pieces)):
            yield _describe(recording, part, cameras, file, options, digest)

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:
        """Opens an episode that `episodes` described."""
        recording = read_recording(file.path, options)
        names = [recording.episode_id(part) for part in range(len(recording.pieces))]
        piece = recording.pieces[names.index(episode.episode_id)]
        with ExitStack() as stack:
            readers = {}
            for view, camera in zip(recording.views, episode.cameras, strict=True):
                timeline = _timeline(view, piece.entries[view.stream.name], fps=recording.fps)
                decoder = stack.enter_context(Decoder(view.path, timeline))
                readers[camera.name] = VideoReader(decoder, timeline, camera)
            yield FolderReader(readers=readers, actions=recording.actions_of(piece), state=recording.state_of(piece))


SOURCE = Folder()


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderReader:
    """An `EpisodeReader` over one video a camera and a table's rows."""

    readers: Mapping[str, VideoReader]
    actions: NDArray[np.generic] | None
    state: NDArray[np.generic] | None

    def frames(self, camera: str, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """Yields RGB `HWC` frames [start, stop) of the camera with that canonical name."""
        return self.readers[camera].frames(camera, start, stop)


def _belongs(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS or path.name in (*TABLES, NOTES)


def _files_digest(folder: Path) -> str:
    """Hex SHA-256 of all that belongs to the episode, its names included."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    digests = [[path.name, file_digest(path)] for path in files if _belongs(path) or path.suffix in TABLE_SUFFIXES]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _camera(view: View) -> Camera:
    with Decoder(view.path, _timeline(view, np.array([0]), fps=1.0)) as decoder:
        height, width, _ = decoder.rgb(0).shape
    return Camera(name=view.name, recorded_name=view.path.stem, height=height, width=width)


def _timeline(view: View, entries: NDArray[np.int64], *, fps: float) -> Timeline:
    return Timeline(
        timestamps=view.timestamps,
        tick_seconds=view.tick_seconds,
        fps=Fraction(fps),
        shown=tuple(entries.tolist()),
    )


def _describe(
    recording: Recording,
    part: int,
    cameras: tuple[Camera, ...],
    file: SourceFile,
    options: SourceOptions,
    files_sha256: str,
) -> Episode:
    piece, notes = recording.pieces[part], recording.notes
    actions = recording.actions_of(piece)
    repaired = None if recording.is_in_step else [options.tolerance_seconds, part]
    views = {view.name: view.stream for view in recording.views}
    timing = clock.timing(recording.pieces, part, views, rows=[recording.first], is_in_step=recording.is_in_step)
    return Episode(
        source=SOURCE.name,
        file=file.name,
        episode_id=recording.episode_id(part),
        content_digest=content_digest(
            files_sha256,
            source=SOURCE.name,
            episode_id="" if repaired is None else json.dumps(repaired),
            cameras=cameras,
            fps=recording.fps,
            options=options,
        ),
        num_frames=len(piece.ticks),
        num_actions=0 if actions is None else len(actions),
        fps=recording.fps,
        cameras=cameras,
        action_space=None if actions is None or recording.actions is None else recording.actions.space,
        state_space=None if recording.state is None else recording.state.space,
        instructions=(options.instruction,) if options.instruction else notes.instructions,
        task=file.path.resolve().parent.name if notes.task is None else notes.task,
        attributes={**notes.attributes, **timing} | ({} if notes.licence is None else {"licence": notes.licence}),
    )
