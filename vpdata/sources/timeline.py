"""When the frames of a video are shown, read from its packets without decoding.

Enters: where a video lies and the rate to read it at. Leaves: an open container, or a `Timeline` that says which frame
of the video is shown at each frame that is read.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from vpdata.sources.matroska import check_elements
from vpdata.sources.place import Place, first_bytes, media, problem, size_of

COPY_HINT = "Copy or download it again."
ENCODE_HINT = "If a player shows it right, encode it again: ffmpeg -i FILE -c:v libx264 -crf 16 OUT.mp4"
LEAST_COVERED = Fraction(1, 10)  # of the last frame's time, or else it is not read
ROUNDING_SECONDS = 0.25  # by which a whole file's announced duration may exceed its frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When the frames of a video are shown.

    Attributes:
        timestamps: of the video's frames in the order shown, in ticks.
        tick_seconds: the stream's time base.
        fps: the constant rate at which the video is read.
        shown: for every frame that is read, the index of the video's frame shown at that time.
    """

    timestamps: tuple[int, ...]
    tick_seconds: Fraction
    fps: Fraction
    shown: tuple[int, ...]


@contextmanager
def open_video(place: Place) -> Iterator[tuple[Any, Any]]:
    """An open container and its best video stream. Raises SourceError, saying what the file is instead."""
    if size_of(place) == 0:
        raise problem(place, "the file is empty (0 bytes).", hint=COPY_HINT)
    try:
        container = av.open(media(place), metadata_errors="ignore")
    except av.FFmpegError as error:
        is_mp4 = first_bytes(place, 8)[4:] == b"ftyp"
        what = (
            "this MP4 was cut off before its index ('moov') was written."
            if is_mp4
            else f"FFmpeg does not recognise this as a video ({error.strerror})."
        )
        raise problem(place, what, hint=COPY_HINT if is_mp4 else "Is it one? Check the file.") from error
    with container:
        stream = container.streams.best("video")
        if stream is None:
            raise problem(place, "the file has no video stream.", hint="Give a file with pictures.")
        if stream.codec_context is None:
            raise problem(place, "FFmpeg has no decoder for the video in this file.", hint=ENCODE_HINT)
        yield container, stream


def read_timeline(place: Place, *, fps: float | None) -> Timeline:
    """Reads the timestamps of a video.

    Args:
        place: the video.
        fps: the constant rate to read it at. None: the video's average rate where that shows every frame once, or else
            (variable frame rate) its average rate rounded to a whole number.

    Raises:
        SourceError: the file is no video, is shorter than it says, or has no timestamps.
    """
    with open_video(place) as (container, stream):
        timestamps, tick = _read_timestamps(container, stream, place), stream.time_base
        average = stream.average_rate or stream.guessed_rate
    if fps is not None:
        rate = Fraction(fps).limit_denominator(100_000)
        shown = _shown(timestamps, 1 / tick / rate)
        return Timeline(timestamps=timestamps, tick_seconds=tick, fps=rate, shown=shown)
    if not average:
        raise problem(place, "the video does not say its frame rate.", hint="Say it with --fps.")
    shown = _shown(timestamps, 1 / tick / average)
    if shown != tuple(range(len(timestamps))):
        seconds = (timestamps[-1] - timestamps[0]) * tick
        average = Fraction(max(1, round((len(timestamps) - 1) / seconds)))
        shown = _shown(timestamps, 1 / tick / average)
    return Timeline(timestamps=timestamps, tick_seconds=tick, fps=average, shown=shown)


def read_timestamps(place: Place) -> tuple[tuple[int, ...], Fraction]:
    """When the frames of a video are shown: ticks in order, and the seconds of one tick.

    Raises:
        SourceError: as `read_timeline`.
    """
    with open_video(place) as (container, stream):
        return _read_timestamps(container, stream, place), stream.time_base


def _read_timestamps(container: Any, stream: Any, place: Place) -> tuple[int, ...]:
    """Timestamps of all frames that are to be shown, in order. Raises SourceError where some frames are missing."""
    check_elements(place)
    num_packets, timestamps, end_ticks = 0, set(), 0
    try:
        for packet in container.demux(stream):
            if not packet.size:  # the end of the stream
                continue
            if packet.is_corrupt:
                raise problem(place, f"packet {num_packets} is marked as corrupt.", hint=COPY_HINT)
            num_packets += 1
            if packet.is_discard:  # cut away by an edit list
                continue
            if packet.pts is None:
                raise problem(place, "the video's frames have no timestamps.", hint=ENCODE_HINT)
            timestamps.add(packet.pts)
            end_ticks = max(end_ticks, packet.pts + (packet.duration or 0))
    except av.FFmpegError as error:
        raise problem(place, f"the file does not read to its end ({error.strerror}).", hint=COPY_HINT) from error
    if not timestamps or stream.frames > num_packets:
        what = f"the file announces {stream.frames} frames and holds {num_packets}: it is truncated."
        raise problem(place, what, hint=COPY_HINT)
    if len(container.streams) == 1 and container.duration:
        announced, end = container.duration / av.time_base, float(end_ticks * stream.time_base)
        if announced - end > max(ROUNDING_SECONDS, 2 * end / len(timestamps)):
            what = f"the file announces {announced:.2f} s and its frames end at {end:.2f} s: it is truncated."
            raise problem(place, what, hint=COPY_HINT)
    return tuple(sorted(timestamps))


def _shown(timestamps: tuple[int, ...], ticks_per_frame: Fraction) -> tuple[int, ...]:
    """For each frame that is read, the index of the last frame of the video that is not later.

    Timestamps are rounded to ticks, so the time since the first one is right to one tick, which is allowed for. The
    last frame is taken to be shown as long as the mean frame.
    """
    ticks = [timestamp - timestamps[0] for timestamp in timestamps]
    mean = Fraction(ticks[-1], len(ticks) - 1) if len(ticks) > 1 else ticks_per_frame
    num_frames = max(1, math.ceil((ticks[-1] + mean) / ticks_per_frame - LEAST_COVERED))
    over, under = ticks_per_frame.numerator, ticks_per_frame.denominator
    return tuple(bisect_right(ticks, k * over // under + 1) - 1 for k in range(num_frames))
