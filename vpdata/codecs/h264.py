"""H.264 in mp4: RGB frames in, the bytes of one mp4 out, and back.

Every eighth frame is a key frame and no frame refers to a later one, so reading a frame decodes at most eight. Chroma
is halved (4:2:0), which is why the codec promises a PSNR and not equality. Colour is BT.601 limited range, tagged so.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from vpdata.codecs.container import Format, count_frames, read_frames, write_video

# Without FULL_CHR_H_INT swscale darkens every pixel by about one grey level and costs 1 dB; BITEXACT keeps the bytes
# the same on processors with other vector instructions.
SCALING = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
AVCOL_SPC_SMPTE170M = 6  # as stored in files; PyAV's `Colorspace` has swscale's numbers
TO_YUV: dict[str, Any] = {
    "dst_colorspace": Colorspace.ITU601,
    "dst_color_range": ColorRange.MPEG,
    "interpolation": SCALING | Interpolation.BICUBIC,
}
TO_RGB: dict[str, Any] = {
    "src_colorspace": Colorspace.ITU601,
    "src_color_range": ColorRange.MPEG,
    "dst_color_range": ColorRange.JPEG,
    "interpolation": SCALING | Interpolation.BILINEAR,
}


def _tag_colour(context: Any) -> None:
    context.colorspace = AVCOL_SPC_SMPTE170M
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.SMPTE170M
    context.color_trc = ColorTrc.SMPTE170M


FORMAT = Format(
    container="mp4",
    encoder="libx264",
    pixel_format="yuv420p",
    options={
        "preset": "veryfast",
        "tune": "fastdecode",
        "crf": "18",
        "x264-params": "keyint=8:min-keyint=8:scenecut=0:bframes=0",
    },
    prepare=_tag_colour,
)


class H264:
    """The default codec: small, fast to decode, not lossless."""

    name = "h264"
    extension = "mp4"
    min_psnr_db = 31.0  # the worst frame of our recordings: 31.5 dB at 64x64, 35.0 dB from 128x128

    def encode(self, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:
        """See `Codec.encode`. Odd sizes are padded with their edge to even ones."""
        iterator = iter(frames)
        first = next(iterator)
        height, width = first.shape[0] + first.shape[0] % 2, first.shape[1] + first.shape[1] % 2
        converted = self._to_yuv(chain([first], iterator), height=height, width=width)
        return write_video(converted, FORMAT, width=width, height=height, fps=fps)

    def decode(self, data: bytes, indices: Sequence[int], *, height: int, width: int) -> NDArray[np.uint8]:
        """See `Codec.decode`."""
        return read_frames(data, indices, height=height, width=width, reformat=TO_RGB)

    def count(self, data: bytes) -> int:
        """See `Codec.count`."""
        return count_frames(data)

    def _to_yuv(self, frames: Iterable[NDArray[np.uint8]], *, height: int, width: int) -> Iterator[Any]:
        reformatter = VideoReformatter()
        for rgb in frames:
            padding = ((0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0))
            padded = np.pad(rgb, padding, mode="edge") if rgb.shape[:2] != (height, width) else rgb
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
            yield reformatter.reformat(frame, format="yuv420p", **TO_YUV)


CODEC = H264()
