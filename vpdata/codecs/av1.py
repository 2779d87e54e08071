"""AV1 in mp4: RGB frames in, the bytes of one mp4 out, and back. Chroma is halved, as in H.264.

Every eighth frame is a key frame, so reading a frame decodes at most eight.
"""

import os
from typing import Any

from vpdata.codecs.colour import tag_colour
from vpdata.codecs.container import Format
from vpdata.codecs.mp4_video import Mp4Video

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


class Av1(Mp4Video):
    """For those who need AV1: at these sizes larger than H.264, and takes three to five times as long to decode."""

    name = "av1"
    form = FORMAT
    min_psnr_db = 31.0  # the worst frame of our recordings: 31.7 dB at 64x64, 34.9 dB from 128x128


CODEC = Av1()
