"""A bag on its way to one clock: everything of an episode but its pixels.

Enters: an open bag, the topics wanted, and what the user says. Leaves: a `Recording` with the times of every camera,
state and action, and which entry of each belongs to each tick; or a SourceError that lists what is wrong with them.

The bag is read once from start to end. Of images only their times are kept, and of the first the size.

    camera    0         1         2         the first camera is the clock
    state     0 1 2 3 4 5 6 7 8 9 …         the nearest to the tick
    action     0         1         2        a step: the next one; one that holds: the one in force
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SourceError
from vpdata.schema import Camera
from vpdata.sources import SourceOptions, clock
from vpdata.sources.cameras import wrist_first
from vpdata.sources.clock import Piece, Stream, Take
from vpdata.sources.ros_bag import Bag, Topic
from vpdata.sources.ros_images import IMAGE_TYPES, to_rgb
from vpdata.sources.ros_topics import Field, Stamps, TopicFields, TopicMap

RESAMPLE_HINT = "Bring all to one clock with --resample, or correct what recorded them."
EARLY_PERIODS = 0.25
"""By how many of its periods an action that is a step may be earlier than the frame that it answers. It may be later by
up to three times as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One topic in one role, as far as it is kept in memory.

    Attributes:
        role: camera, state or action.
        name: of the camera, else the topic.
        fields: none for a camera.
        received, stamps: nanoseconds of every message, when it was recorded, and by the clock that was asked for.
        values: row by row.
    """

    role: Literal["camera", "state", "action"]
    name: str
    topic: str
    clock: Stamps
    fields: tuple[Field, ...] = ()
    received: "array[int]" = field(default_factory=lambda: array("q"))
    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))

    def rows(self) -> NDArray[np.float64]:
        """(messages, fields)."""
        return np.frombuffer(self.values, np.float64).reshape(len(self.received), len(self.fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A bag, read but for the pixels, and where its streams go on one clock. `pieces` is one unless there are holes."""

    path: Path
    topics: TopicMap
    cameras: tuple[Camera, ...]
    tracks: tuple[Track, ...]
    streams: tuple[Stream, ...]
    fps: float
    is_in_step: bool
    pieces: tuple[Piece, ...]

    def episode_id(self, part: int) -> str:
        """The bag's name, with the number of the piece where there are several."""
        name = self.path.resolve().stem
        return name if len(self.pieces) == 1 else f"{name}_part{part}"

    def rows_of(self, role: Literal["state", "action"], piece: Piece) -> NDArray[np.float64] | None:
        """(ticks, D) in the order of the space, None where there are none."""
        found = [(track, stream) for track, stream in self._paired() if track.role == role]
        if not found:
            return None
        names = [named.name for track, _ in found for named in track.fields]
        rows = np.concatenate([track.rows()[piece.entries[stream.name]] for track, stream in found], axis=1)
        wanted = self.topics.state_names if role == "state" else self.topics.action_names
        return rows[:, [names.index(name) for name in wanted]]

    def shown(self, camera: str, piece: Piece) -> tuple[Track, NDArray[np.int64]]:
        """The camera's track, and the number of its message at every tick."""
        track, stream = next(pair for pair in self._paired() if pair[0].role == "camera" and pair[0].name == camera)
        return track, piece.entries[stream.name]

    def _paired(self) -> Iterator[tuple[Track, Stream]]:
        return zip(self.tracks, self.streams, strict=True)


def read_recording(bag: Bag, topics: TopicMap, options: SourceOptions) -> Recording:
    """Reads a bag but for the pixels.

    Raises:
        SourceError: a topic or field is missing or of another type, the bag is damaged or lacks messages, stamps are
            zero or run backward; or the streams are out of step and are not to be resampled, or cannot be.
    """
    tracks = _tracks(bag, topics, options)
    cameras = _fill(bag, tracks)
    for track in tracks:
        _check(bag, track)
    origin = tracks[0].stamps[0]
    streams = tuple(_stream(bag, track, origin, hold=topics.actions_hold) for track in tracks)
    fps = options.fps or topics.fps or clock.rate_of(streams[0])
    if fps is None:
        what = f"{streams[0].name} shows one moment and so no rate."
        raise SourceError(what, path=bag.path, hint="Say it with --fps, or as fps in the file of --topics.")
    pieces = clock.resample(streams, fps=fps, tolerance_seconds=options.tolerance_seconds)
    problems = clock.findings(streams, fps=fps, tolerance_seconds=options.tolerance_seconds)
    problems = problems or tuple(_half_way(streams, pieces))
    if problems and not options.resample:
        raise SourceError(clock.listed(problems, fps=fps), path=bag.path, hint=RESAMPLE_HINT)
    for stream in streams:
        if stream.take == "once" and clock.drift_seconds(stream, fps=fps) > 0.5 / fps:
            raise SourceError(
                f"{clock.rate_of(stream):g} actions a second are not resampled to {fps:g}: steps would be lost or done "
                "twice.",
                path=bag.path,
                hint="Choose that rate with --fps; or say actions_hold = true in the file of --topics if each action "
                "holds until the next (joint targets, velocities).",
            )
    if not pieces:
        what = f"at no tick is there an entry of every stream; {clock.listed(problems, fps=fps)}"
        hint = 'Do all topics have stamps of one clock? stamps = "receive" takes the recorder\'s.'
        raise SourceError(what, path=bag.path, hint=hint)
    return Recording(
        path=bag.path,
        topics=topics,
        cameras=cameras,
        tracks=tracks,
        streams=streams,
        fps=fps,
        is_in_step=not problems,
        pieces=pieces,
    )


def _half_way(streams: Sequence[Stream], pieces: Sequence[Piece]) -> Iterator[str]:
    """Findings of streams so far from the ticks that, by their jitter, entries are taken twice or left out."""
    for stream in streams:
        entries = [entry for piece in pieces for entry in piece.entries[stream.name]]
        if np.any(np.diff(entries) != 1):
            yield f"{stream.name} lies half way between ticks, so that which {stream.entry} belongs to a tick changes"


def _tracks(bag: Bag, topics: TopicMap, options: SourceOptions) -> tuple[Track, ...]:
    """Cameras, wrist first, then states, then actions. Raises SourceError for a topic that cannot be used."""
    wanted = options.cameras or topics.cameras
    if not wanted:
        what = f"no camera is chosen; topics there: {bag.listed()}."
        raise SourceError(what, path=bag.path, hint="Choose with --camera NAME=TOPIC, or [cameras] in --topics.")
    tracks = []
    for name, topic in wrist_first(wanted):
        found = bag.topic(topic)
        if found.type not in IMAGE_TYPES:
            images = {name: one for name, one in bag.topics.items() if one.type in IMAGE_TYPES}
            what = f"camera {name!r} is to come from {topic}, which has {found.type}; images: {_named(images)}."
            raise SourceError(what, path=bag.path, hint="Choose with --camera NAME=TOPIC.")
        tracks.append(Track(role="camera", name=name, topic=topic, clock=topics.stamps))
    tracks.extend(_track("state", one) for one in topics.state)
    tracks.extend(_track("action", one) for one in topics.action)
    for track in tracks:
        bag.topic(track.topic)
    return tuple(tracks)


def _track(role: Literal["state", "action"], one: TopicFields) -> Track:
    return Track(role=role, name=one.topic, topic=one.topic, clock=one.stamps, fields=one.fields)


def _named(topics: dict[str, Topic]) -> str:
    return ", ".join(f"{name} ({topic.type})" for name, topic in sorted(topics.items())) or "none"


def _fill(bag: Bag, tracks: Sequence[Track]) -> tuple[Camera, ...]:
    """Reads the whole bag into the tracks and describes the cameras."""
    cameras: dict[str, Camera] = {}
    by_topic: dict[str, list[Track]] = {}
    for track in tracks:
        by_topic.setdefault(track.topic, []).append(track)
    for topic, nanoseconds, data in bag.messages(by_topic.keys()):
        message = bag.read(topic, data)
        for track in by_topic[topic]:
            where = f"message {len(track.received)} of {topic}"
            track.received.append(nanoseconds)
            track.stamps.append(nanoseconds if track.clock == "receive" else _stamp(message, topic, bag))
            track.values.extend(_value(message, one, bag, where=where) for one in track.fields)
            if track.role == "camera" and track.name not in cameras:
                height, width, _ = to_rgb(message, bag.topics[topic].type, path=bag.path, where=where).shape
                cameras[track.name] = Camera(name=track.name, recorded_name=topic, height=height, width=width)
    for track in tracks:
        if len(track.received) != bag.topics[track.topic].num_messages:
            what = f"{bag.topics[track.topic].num_messages} messages of {track.topic} are announced, and "
            what += f"{len(track.received)} are there."
            raise SourceError(what, path=bag.path, hint="Copy the bag again; all its files belong together.")
    return tuple(cameras[track.name] for track in tracks if track.role == "camera")


def _stamp(message: Any, topic: str, bag: Bag) -> int:
    header = getattr(message, "header", None)
    if header is None:
        what = f"{bag.topics[topic].type} of {topic} has no header, and so no stamp."
        raise SourceError(what, path=bag.path, hint='Say stamps = "receive" for this topic in the file of --topics.')
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def _value(message: Any, one: Field, bag: Bag, *, where: str) -> float:
    found = message
    for attribute, index in one.steps:
        holder, found = found, getattr(found, attribute, None)
        if found is None:
            names = ", ".join(name for name in getattr(holder, "__dataclass_fields__", {}) if name != "__msgtype__")
            what = f"{one.text!r}: there is no {attribute!r}; fields there: {names or 'none'}."
            raise SourceError(what, path=bag.path, episode=where, hint="Correct the field in the file of --topics.")
        if index is not None:
            found = found[_place(holder, found, index, one, bag, where=where)]
    if not isinstance(found, int | float | np.number | np.bool_):
        what = f"{one.text!r} is no number but {type(found).__name__}."
        raise SourceError(what, path=bag.path, episode=where, hint="Correct the field in the file of --topics.")
    if not np.isfinite(found):
        raise SourceError(f"{one.text!r} is {found}.", path=bag.path, episode=where)
    return float(found)


def _place(holder: Any, values: Any, index: int | str, one: Field, bag: Bag, *, where: str) -> int:
    names = list(getattr(holder, "name", []))
    place = index if isinstance(index, int) else names.index(index) if index in names else None
    if place is None or not isinstance(values, np.ndarray | list) or place >= len(values):
        there = f"names there: {', '.join(names) or 'none'}" if place is None else f"{np.size(values)} are there"
        what = f"{one.text!r}: there is no entry {index!r}; {there}."
        raise SourceError(what, path=bag.path, episode=where, hint="Correct the field in the file of --topics.")
    return place


def _check(bag: Bag, track: Track) -> None:
    """Raises SourceError for zero stamps, and for messages out of the order in which they were received."""
    zeros = [number for number, stamp in enumerate(track.stamps) if not stamp]
    if zeros:
        what = (
            f"{len(zeros)} of {len(track.stamps)} stamps of {track.topic} are zero, first that of message {zeros[0]}."
        )
        raise SourceError(what, path=bag.path, hint='Say stamps = "receive" in the file of --topics.')
    backward = np.flatnonzero(np.diff(np.frombuffer(track.received, np.int64)) < 0)
    if len(backward):
        what = f"message {backward[0] + 1} of {track.topic} was received before the one it follows: the clock jumped."
        raise SourceError(what, path=bag.path, hint="This is not repaired.")


def _stream(bag: Bag, track: Track, origin: int, *, hold: bool) -> Stream:
    seconds = (np.frombuffer(track.stamps, np.int64) - origin) / 1e9
    name, entry = f"{track.role} {track.name}", "frame" if track.role == "camera" else "row"
    take: Take = "nearest" if track.role != "action" else "hold" if hold else "once"
    stream = Stream(name=name, entry=entry, times=seconds, take=take)
    if backward := clock.runs_backward(stream):
        hint = 'This is not repaired; stamps = "receive" in the file of --topics takes the recorder\'s clock.'
        raise SourceError(backward, path=bag.path, hint=hint)
    if take != "once":
        return stream
    early = EARLY_PERIODS * stream.interval
    return Stream(name=f"{name} (less {early:.3f} s)", entry=entry, times=seconds - early, take=take)
