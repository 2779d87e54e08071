"""Bags: what robots record under ROS.

Enters: ROS 1 bags (`.bag`), ROS 2 bags (a folder with `metadata.yaml`, SQLite or MCAP inside) and MCAP files of ROS 2;
and which topics are cameras, state and action (`ros_topics`). Leaves: one episode a bag on one clock (`ros_recording`),
or one for each stretch without a hole where it is resampled. Messages are read one at a time; no bag is held in memory.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Episode
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions, clock
from vpdata.sources.files import content_digest, file_digest, natural_key, refuse_filter_key
from vpdata.sources.ros_bag import METADATA, SUFFIXES, Bag, open_bag
from vpdata.sources.ros_images import to_rgb
from vpdata.sources.ros_recording import Recording, read_recording
from vpdata.sources.ros_topics import read_topics


class Ros:
    """The `ros` source."""

    name = "ros"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The bags at or below `path` in natural order. Raises SourceError where there is none."""
        if path.is_file():
            return (SourceFile(path=path, name=path.name),)
        if not path.is_dir():
            raise SourceError("there is no such file or folder.", path=path, hint="Check the path.")
        found: dict[Path, SourceFile] = {}
        for entry in path.rglob("*"):
            is_part = (entry.parent / METADATA).is_file()
            hidden = any(part.startswith(".") for part in entry.relative_to(path).parts)
            if hidden or not entry.is_file() or not (entry.suffix in SUFFIXES or entry.name == METADATA):
                continue
            bag = entry.parent if is_part else entry
            name = path.resolve().name if bag == path else bag.relative_to(path).as_posix()
            found[bag] = SourceFile(path=bag, name=name)
        if not found:
            hint = f"Files ending in {', '.join(SUFFIXES)} and folders with {METADATA} were looked for."
            raise SourceError("no bag in this folder.", path=path, hint=hint)
        return tuple(sorted(found.values(), key=lambda file: natural_key(file.name)))

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The bag's one episode, or several where it was resampled and has holes.

        Raises:
            SourceError: the bag is damaged, lacks what the topics say, or its streams are out of step.
        """
        refuse_filter_key(options, path=file.path)
        topics = read_topics(options.topics)
        with open_bag(file.path) as bag:
            recording = read_recording(bag, topics, options)
        digest = _bag_digest(file.path)
        for part in range(len(recording.pieces)):
            yield _describe(recording, part, file, options, digest)

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:
        """Opens an episode that `episodes` described."""
        with open_bag(file.path) as bag:
            recording = read_recording(bag, read_topics(options.topics), options)
            names = [recording.episode_id(part) for part in range(len(recording.pieces))]
            yield RosReader(bag=bag, recording=recording, part=names.index(episode.episode_id))


SOURCE = Ros()


@dataclass(frozen=True, slots=True, kw_only=True)
class RosReader:
    """An `EpisodeReader` over an open bag."""

    bag: Bag
    recording: Recording
    part: int

    @property
    def actions(self) -> NDArray[np.generic] | None:
        """(ticks, D) float64."""
        return self.recording.rows_of("action", self.recording.pieces[self.part])

    @property
    def state(self) -> NDArray[np.generic] | None:
        """(ticks, D) float64."""
        return self.recording.rows_of("state", self.recording.pieces[self.part])

    def frames(self, camera: str, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """Yields RGB `HWC` frames [start, stop) of the camera with that canonical name.

        Raises:
            SourceError: the bag is damaged there, or the size of the frames changes.
        """
        described = next(one for one in self.recording.cameras if one.name == camera)
        track, entries = self.recording.shown(camera, self.recording.pieces[self.part])
        if not 0 <= start <= stop <= len(entries):
            raise IndexError(f"frames [{start}, {stop}) of {len(entries)}")
        wanted = deque(entries[start:stop].tolist())
        if not wanted:
            return
        received = np.frombuffer(track.received, np.int64)
        first, last = int(received[wanted[0]]), int(received[wanted[-1]])
        begin = int(np.searchsorted(received, first))  # what was received in the same nanosecond comes with it
        for index, (topic, _, data) in enumerate(self.bag.messages([track.topic], start=first, stop=last + 1), begin):
            if wanted and wanted[0] == index:
                where = f"message {index} of {topic}"
                message = self.bag.read(topic, data)
                frame = to_rgb(message, self.bag.topics[topic].type, path=self.bag.path, where=where)
                if frame.shape[:2] != (described.height, described.width):
                    what = f"the frame is {frame.shape[:2]}, the first was {(described.height, described.width)}."
                    raise SourceError(what, path=self.bag.path, episode=where)
                while wanted and wanted[0] == index:
                    yield frame
                    wanted.popleft()
        if wanted:
            what = f"message {wanted[0]} of {track.topic} is not there any more."
            raise SourceError(what, path=self.bag.path, hint="Did the bag change? Run the same command again.")


def _bag_digest(path: Path) -> str:
    """Hex SHA-256 of a file, or of all files of a folder, their names included."""
    if path.is_file():
        return file_digest(path)
    files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    return hashlib.sha256(json.dumps([[entry.name, file_digest(entry)] for entry in files]).encode()).hexdigest()


def _describe(recording: Recording, part: int, file: SourceFile, options: SourceOptions, bag_sha256: str) -> Episode:
    piece, topics = recording.pieces[part], recording.topics
    read = [[track.role, track.topic, track.clock, [one.text for one in track.fields]] for track in recording.tracks]
    spaces = [topics.action_space, topics.action_names, topics.state_space, topics.state_names, topics.actions_hold]
    repaired = None if recording.is_in_step else [options.tolerance_seconds, part]
    pairs = zip(recording.tracks, recording.streams, strict=True)
    cameras = {track.name: stream for track, stream in pairs if track.role == "camera"}
    timing = clock.timing(recording.pieces, part, cameras, rows=(), is_in_step=recording.is_in_step)
    return Episode(
        source=SOURCE.name,
        file=file.name,
        episode_id=recording.episode_id(part),
        content_digest=content_digest(
            bag_sha256,
            source=SOURCE.name,
            episode_id=json.dumps([read, spaces, repaired]),
            cameras=recording.cameras,
            fps=recording.fps,
            options=options,
        ),
        num_frames=len(piece.ticks),
        num_actions=len(piece.ticks) if topics.action else 0,
        fps=recording.fps,
        cameras=recording.cameras,
        action_space=topics.action_space,
        state_space=topics.state_space,
        instructions=(options.instruction,) if options.instruction else (),
        task=file.path.resolve().parent.name,
        attributes={"stamps": topics.stamps, **timing},
    )
