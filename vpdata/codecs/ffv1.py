"""FFV1 in Matroska: RGB frames in, the bytes of one mkv out, and exactly the same frames back."""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vpdata.codecs import Codec
from vpdata.codecs.container import Format, write_video
from vpdata.codecs.request import check_indices, check_size
from vpdata.errors import ShardError


def _only_key_frames(context: Any) -> None:
    context.gop_size = 1


FORMAT = Format(container="matroska", encoder="ffv1", pixel_format="bgr0", options={}, prepare=_only_key_frames)


class Ffv1(Codec):
    """Lossless; over twenty times larger than H.264, and takes over ten times as long to decode."""

    name = "ffv1"
    extension = "mkv"
    min_psnr_db = math.inf

    def encode(self, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:
        """See `Codec.encode`."""
        iterator = iter(frames)
        first = next(iterator)
        converted = self._to_bgr0(chain([first], iterator))
        return write_video(converted, FORMAT, width=first.shape[1], height=first.shape[0], fps=fps)

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8]) -> None:
        """See `Codec.decode_into`. Every frame decodes on its own."""
        packets = _packets(data)
        check_indices(indices, len(packets))
        reformatter = VideoReformatter()
        places: dict[int, list[int]] = {}
        for place, index in enumerate(indices):
            places.setdefault(index, []).append(place)
        for index, wanted in places.items():
            frame = _decode(packets[index])
            check_size(frame.height, frame.width, out)
            out[wanted] = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()

    def count(self, data: bytes) -> int:
        """See `Codec.count`."""
        return sum(1 for packet in _packets(data) if _decode(packet))

    def _to_bgr0(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Any]:
        reformatter = VideoReformatter()
        for rgb in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            yield reformatter.reformat(frame, format="bgr0", threads=1)


def _packets(data: bytes) -> list[Any]:
    """All packets, in the order of presentation; they keep their stream's decoder alive."""
    try:
        container = av.open(io.BytesIO(data), metadata_errors="replace")
        stream = container.streams.video[0]
        stream.thread_count = 1
        return sorted((packet for packet in container.demux(stream) if packet.size), key=lambda packet: packet.pts)
    except (av.FFmpegError, IndexError) as error:
        raise ShardError(f"the video does not decode ({error}).") from error


def _decode(packet: Any) -> Any:
    try:
        (frame,) = packet.decode()
    except (av.FFmpegError, ValueError) as error:
        raise ShardError(f"the video does not decode ({error}).") from error
    return frame


CODEC = Ffv1()
