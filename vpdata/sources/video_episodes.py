"""What is wanted of one video, and the video itself, in; its `Episode`s out, one for each shot or span.

Nothing is decoded but the first frame.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vpdata.errors import SourceError
from vpdata.schema import Camera, Episode, Scalar
from vpdata.sources import SourceOptions, hub
from vpdata.sources.decoder import Decoder
from vpdata.sources.files import content_digest
from vpdata.sources.place import Place, digest_of, problem, size_of
from vpdata.sources.shot import Shot
from vpdata.sources.timeline import Timeline, read_timeline

FIRST_FRAME = "video_first_frame"
"""The attribute of the episode of a span or stretch that says where, at the episode's rate, it begins in the video."""
SOURCE = "video"
ROUNDING_SECONDS = 1e-6

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Video:
    """A video as it is read."""

    place: Place
    sha256: str
    timeline: Timeline
    camera: Camera


def video_episodes(
    shots: Sequence[Shot], *, camera: str, recorded: str, options: SourceOptions
) -> Iterator[Episode | SourceError]:
    """The episodes of shots that are all of one video; one that cannot be used comes as the error that says why.

    Args:
        shots: at least one.
        camera: canonical name of the one camera.
        recorded: its recorded name.
        options: of these, `fps`, `instruction` and `spans` count.

    Raises:
        SourceError: there is no video, it is broken in a way that shows without decoding all of it, or it is not among
            those that have spans.
    """
    place = shots[0].place
    size_of(place)  # raises where there is no file
    sha256 = digest_of(place)
    spans = None if options.spans is None else _spans(options.spans, shots[0], sha256)
    if spans == ():
        return
    timeline = read_timeline(place, fps=options.fps)
    with Decoder(place, timeline) as decoder:
        height, width, _ = decoder.rgb(0).shape
    seen = Camera(name=camera, recorded_name=recorded, height=height, width=width)
    video = _Video(place=place, sha256=sha256, timeline=timeline, camera=seen)
    for shot in shots:
        try:
            stretches = _stretches(shot, timeline, spans)
        except SourceError as error:
            yield shot.blamed(error)
            continue
        for stretch in stretches:
            yield _episode(shot, video, stretch, options)


def _spans(spans: Mapping[tuple[str, str], Spans], shot: Shot, sha256: str) -> tuple[tuple[int, int], ...]:
    if (shot.file, sha256) not in spans:
        what = "this video, as it is now, is not in the curation."
        raise problem(shot.place, what, hint="Run `vpdata curate` on the same SRC again.")
    return tuple(spans[shot.file, sha256])


def _stretches(shot: Shot, timeline: Timeline, spans: Spans | None) -> list[tuple[int, int] | None]:
    """Frames [start, stop) of the video that are an episode each; None for all of them. Raises SourceError."""
    first, last = _frames_in(shot, timeline)
    if spans is not None:
        parts = ((max(start, first), min(stop, last)) for start, stop in spans)
        return [(start, stop) for start, stop in parts if start < stop]
    return [None if (first, last) == (0, len(timeline.timestamps)) else (first, last)]


def _frames_in(shot: Shot, timeline: Timeline) -> tuple[int, int]:
    """The video's frames [start, stop) that begin in the stretch of a shot; its end may be off by a frame."""
    num_frames = len(timeline.timestamps)
    if shot.is_whole:
        return 0, num_frames
    seconds = [float((timestamp - timeline.timestamps[0]) * timeline.tick_seconds) for timestamp in timeline.timestamps]
    frame_seconds = seconds[-1] / (num_frames - 1) if num_frames > 1 else 1 / float(timeline.fps)
    end = seconds[-1] + frame_seconds
    stop_seconds = end if shot.stop_seconds is None else shot.stop_seconds
    if stop_seconds > end + frame_seconds or shot.start_seconds >= end:
        what = f"{shot.start_seconds:g} s to {stop_seconds:g} s leaves the video, which ends at {end:.3f} s."
        raise problem(shot.place, what, hint="Correct the list.")
    start, stop = (bisect_left(seconds, at - ROUNDING_SECONDS) for at in (shot.start_seconds, stop_seconds))
    if start == stop:
        what = f"no frame begins between {shot.start_seconds:g} s and {stop_seconds:g} s."
        raise problem(shot.place, what, hint="Correct the list.")
    return start, stop


def _episode(
    shot: Shot, video: _Video, stretch: tuple[int, int] | None, options: SourceOptions
) -> Episode | SourceError:
    place, timeline, fps = video.place, video.timeline, float(video.timeline.fps)
    path = place if isinstance(place, Path) else place.path
    attributes: dict[str, Scalar] = {**shot.about.attributes}
    origin = hub.origin(path)
    if origin is not None:
        attributes.setdefault("url", origin)
    name, part, num_frames = shot.name, "", len(timeline.shown)
    if stretch is not None:
        start, stop = stretch
        part = f"{start}-{stop}"
        name = f"{shot.name}:{part}"
        first, end = bisect_left(timeline.shown, start), bisect_left(timeline.shown, stop)
        if first == end:
            what = f"at {fps:g} frames a second nothing is left of frames [{start}, {stop})."
            return SourceError(what, path=path, episode=name, hint="Choose a higher --fps.")
        num_frames = end - first
        attributes[FIRST_FRAME] = first
    said = () if options.instruction else shot.about.instructions
    return Episode(
        source=SOURCE,
        file=shot.file,
        episode_id=name,
        content_digest=content_digest(
            video.sha256,
            source=SOURCE,
            episode_id=json.dumps([part, said]) if said else part,
            cameras=(video.camera,),
            fps=fps,
            options=options,
        ),
        num_frames=num_frames,
        num_actions=0,
        fps=fps,
        cameras=(video.camera,),
        instructions=(options.instruction,) if options.instruction else said,
        task=shot.about.task,
        attributes=attributes,
    )
