"""Frames to the bytes of a container with one video stream, and the wanted frames back; shared by the video codecs.

A frame is identified by its presentation timestamp, never by the order in which the decoder happens to return it.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vpdata.errors import ShardError

MAX_FPS_DENOMINATOR = 1001


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What the encoder and the muxer are told; `prepare` sets what options cannot."""

    container: str
    encoder: str
    pixel_format: str
    options: dict[str, str]
    prepare: Callable[[Any], None]


def write_video(frames: Iterable[Any], form: Format, *, width: int, height: int, fps: float) -> bytes:
    """Muxes `av.VideoFrame`s in the encoder's pixel format, one every 1/fps seconds; equal input gives equal bytes."""
    rate = Fraction(fps).limit_denominator(MAX_FPS_DENOMINATOR)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form.container, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(form.encoder, rate=rate, options=form.options)
        stream.width, stream.height, stream.pix_fmt = width, height, form.pixel_format
        stream.thread_count = 1
        stream.codec_context.flags |= Flags.bitexact
        form.prepare(stream.codec_context)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def read_frames(
    data: bytes, indices: Sequence[int], *, height: int, width: int, reformat: dict[str, Any]
) -> NDArray[np.uint8]:
    """The frames at `indices` as RGB (len(indices), height, width, 3); only the groups of pictures they lie in decode.

    Stored frames may be up to one pixel taller and wider (edge padding to even sizes), which is cropped away.
    """
    out = np.empty((len(indices), height, width, 3), np.uint8)
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(index, []).append(place)
    reformatter = VideoReformatter()
    found = 0
    for index, frame in _decode(data, set(places)):
        if not (0 <= frame.height - height <= 1 and 0 <= frame.width - width <= 1):
            raise ShardError(f"frames are {frame.height}x{frame.width}, expected {height}x{width}.")
        rgb = reformatter.reformat(frame, format="rgb24", **reformat).to_ndarray()
        out[places[index]] = rgb[:height, :width]
        found += 1
    if found != len(places):
        raise ShardError(f"only {found} of {len(places)} frames decode.")
    return out


def count_frames(data: bytes) -> int:
    """Decodes everything and returns the number of distinct frames."""
    return sum(1 for _ in _decode(data, None))


@contextmanager
def _damage_as_shard_error() -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise ShardError(f"the video does not decode ({error}).") from error


def _decode(data: bytes, wanted: set[int] | None) -> Iterator[tuple[int, Any]]:
    """Yields (index, frame) of the wanted frames once each, in increasing order; None wants all."""
    with _damage_as_shard_error(), av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        packets = [packet for packet in container.demux(stream) if packet.size]
        index_of = {pts: index for index, pts in enumerate(sorted(packet.pts for packet in packets))}
        if wanted and not (min(wanted) >= 0 and max(wanted) < len(packets)):
            raise ShardError(f"the video has {len(packets)} frames, asked for {min(wanted)} to {max(wanted)}.")
        for group in _groups(packets):
            numbers = [index_of[packet.pts] for packet in group]
            needed = [place for place, number in enumerate(numbers) if wanted is None or number in wanted]
            if not needed:
                continue
            for packet in [*group[: needed[-1] + 1], None]:
                for frame in stream.codec_context.decode(packet):
                    index = index_of[frame.pts]
                    if wanted is None or index in wanted:
                        yield index, frame
            stream.codec_context.flush_buffers()


def _groups(packets: Sequence[Any]) -> Iterator[list[Any]]:
    """Groups of pictures: each begins with a key frame and decodes on its own."""
    starts = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    for start, stop in zip(starts, [*starts[1:], len(packets)], strict=True):
        yield list(packets[start:stop])
