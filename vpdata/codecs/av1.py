"""AV1 in mp4: RGB frames in, the bytes of one mp4 out, and back. Chroma is halved, as in H.264.

Every eighth frame is a key frame, so reading a frame decodes at most eight.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata.codecs import Codec, decoders
from vpdata.codecs.colour import tag_colour, yuv_frames
from vpdata.codecs.container import Format, write_video
from vpdata.codecs.decoders.pyav import count_frames

GROUP_OF_PICTURES = 8


def _prepare(context: Any) -> None:
    tag_colour(context)
    context.gop_size = GROUP_OF_PICTURES
    os.environ.setdefault("SVT_LOG", "1")  # or else the encoder prints its settings to stderr for every clip


FORMAT = Format(
    container="mp4",
    encoder="libsvtav1",
    pixel_format="yuv420p",
    options={
        "preset": "8",
        "crf": "20",
        "svtav1-params": "lp=1:tune=1:pred-struct=2:hierarchical-levels=3",  # one thread, and tuned for PSNR
    },
    prepare=_prepare,
)


class Av1(Codec):
    """For those who need AV1: at these sizes larger than H.264, and takes three to five times as long to decode."""

    name = "av1"
    extension = "mp4"
    min_psnr_db = 31.0  # the worst frame of our recordings: 31.7 dB at 64x64, 34.9 dB from 128x128

    def encode(self, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:
        """See `Codec.encode`. Odd sizes are padded with their edge to even ones."""
        converted, height, width = yuv_frames(frames)
        return write_video(converted, FORMAT, width=width, height=height, fps=fps)

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8]) -> None:
        """See `Codec.decode_into`."""
        decoders.select(codec=self.name).decode_into(data, indices, out, codec=self.name)

    def count(self, data: bytes) -> int:
        """See `Codec.count`."""
        return count_frames(data, codec=self.name)


CODEC = Av1()
