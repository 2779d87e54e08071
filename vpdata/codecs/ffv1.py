"""FFV1 in Matroska: RGB frames in, the bytes of one mkv out, and exactly the same frames back."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vpdata.codecs.container import Format, count_frames, read_frames, write_video


def _only_key_frames(context: Any) -> None:
    context.gop_size = 1


FORMAT = Format(container="matroska", encoder="ffv1", pixel_format="bgr0", options={}, prepare=_only_key_frames)


class Ffv1:
    """Lossless, about fifteen times larger than H.264 and five times slower to decode."""

    name = "ffv1"
    extension = "mkv"
    min_psnr_db = math.inf

    def encode(self, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:
        """See `Codec.encode`."""
        iterator = iter(frames)
        first = next(iterator)
        converted = self._to_bgr0(chain([first], iterator))
        return write_video(converted, FORMAT, width=first.shape[1], height=first.shape[0], fps=fps)

    def decode(self, data: bytes, indices: Sequence[int], *, height: int, width: int) -> NDArray[np.uint8]:
        """See `Codec.decode`."""
        return read_frames(data, indices, height=height, width=width, reformat={})

    def count(self, data: bytes) -> int:
        """See `Codec.count`."""
        return count_frames(data)

    def _to_bgr0(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Any]:
        reformatter = VideoReformatter()
        for rgb in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            yield reformatter.reformat(frame, format="bgr0")


CODEC = Ffv1()
