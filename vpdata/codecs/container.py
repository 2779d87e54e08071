"""Frames to the bytes of a container with one video stream; shared by the video codecs."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags

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
    tick = 1 / rate
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form.container, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(form.encoder, rate=rate, options=form.options)
        stream.width, stream.height, stream.pix_fmt = width, height, form.pixel_format
        stream.thread_count = 1
        stream.codec_context.flags |= Flags.bitexact
        form.prepare(stream.codec_context)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
