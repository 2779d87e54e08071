"""The frames of one video, from its bytes to RGB or brightness, upright; every fault on the way is an error.

Enters: where a video lies and its `Timeline`. Leaves: exactly the frames that the timeline announces, or a SourceError.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from vpdata.errors import SourceError
from vpdata.schema import Camera
from vpdata.sources.place import Place, problem
from vpdata.sources.timeline import COPY_HINT, ENCODE_HINT, Timeline, open_video

LUMA_FIRST = frozenset({"nv12", *(f"yuv{j}{kind}p" for j in ("", "j") for kind in (420, 422, 444))})  # as 8 bits
STRICT_DECODING = {"err_detect": "crccheck+bitstream+buffer+explode"}
SEEK_FRAMES = 16  # before the frame that is wanted: containers seek by the order of decoding
MAX_KEPT_BYTES = 512 * 2**20  # of decoded frames, for ranges that overlap the one before

Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Luma:
    """One frame's brightness.

    Attributes:
        pixels: (H, W) uint8, upright; valid until the next frame is taken.
        is_full_range: black is 0 and white 255, or else 16 and 235.
        rgb: gives the frame as RGB `HWC`, upright.
    """

    pixels: Images
    is_full_range: bool
    rgb: Callable[[], Images]


class VideoReader:
    """An `EpisodeReader` over one video. A range that overlaps the one before does not decode its frames again."""

    actions = None
    state = None

    def __init__(self, decoder: "Decoder", timeline: Timeline, camera: Camera) -> None:
        self._decoder = decoder
        self._shown = timeline.shown
        self._camera = camera

    def frames(self, camera: str, start: int, stop: int) -> Iterator[Images]:
        """Yields RGB `HWC` frames [start, stop).

        Raises:
            SourceError: the video does not decode without errors to the frames that its timestamps announce.
        """
        if camera != self._camera.name:
            raise KeyError(camera)
        if not 0 <= start <= stop <= len(self._shown):
            raise IndexError(f"frames [{start}, {stop}) of {len(self._shown)}")
        self._decoder.forget_before(self._shown[start] if start < stop else 0)
        for index in self._shown[start:stop]:
            frame = self._decoder.rgb(index)
            if frame.shape[:2] != (self._camera.height, self._camera.width):
                raise self._decoder.error(f"frame {index} is {frame.shape[:2]}: the size changes.", ENCODE_HINT)
            yield frame


class Decoder:
    """Decodes from frame `begin` to the end once, keeping what later ranges may ask for again."""

    def __init__(self, place: Place, timeline: Timeline, *, begin: int = 0) -> None:
        self._place = place
        self._begin = begin
        self._timestamps = timeline.timestamps
        self._reformatter = VideoReformatter()
        self._kept: deque[Any] = deque()
        self._restart()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        self._decoded.close()
        self._kept.clear()

    def rgb(self, index: int) -> Images:
        """The video's frame `index` as RGB `HWC`, upright."""
        if index < self._first:  # only after more than MAX_KEPT_BYTES of overlap
            self._decoded.close()
            self._restart()
        while index >= self._first + len(self._kept):
            self._kept.append(next(self._decoded))
            if len(self._kept) * _num_bytes(self._kept[0]) > MAX_KEPT_BYTES:
                self.forget_before(self._first + 1)
        return self._rgb(self._kept[index - self._first])

    def lumas(self) -> Iterator["Luma"]:
        """Every frame from `begin` on, once, as brightness: much cheaper than `rgb`.

        Raises:
            SourceError: the video does not decode without errors to frames of one size.
        """
        size, is_turned = None, False
        for index, frame in enumerate(self._decoded, self._begin):
            if size is None:
                size, is_turned = (frame.width, frame.height), "DISPLAYMATRIX" in frame.side_data
            if (frame.width, frame.height) != size:
                raise self.error(f"frame {index} is {(frame.height, frame.width)}: the size changes.", ENCODE_HINT)
            planar = frame
            if frame.format.name not in LUMA_FIRST:
                planar = self._reformatter.reformat(frame, format="yuv420p", dst_color_range=ColorRange.MPEG, threads=1)
            plane = planar.planes[0]
            pixels = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            yield Luma(
                pixels=self._upright(pixels, frame) if is_turned else pixels,
                is_full_range=planar.format.name.startswith("yuvj") or planar.color_range == ColorRange.JPEG,
                rgb=partial(self._rgb, frame),
            )

    def forget_before(self, index: int) -> None:
        """Lets go of kept frames before `index`."""
        while self._kept and self._first < index:
            self._kept.popleft()
            self._first += 1

    def error(self, what: str, hint: str) -> SourceError:
        """An error about this video."""
        return problem(self._place, what, hint=hint)

    def _rgb(self, frame: Any) -> Images:
        pixels = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return self._upright(cast(Images, pixels), frame)

    def _restart(self) -> None:
        self._kept.clear()
        self._first = self._begin
        self._decoded = self._decode()

    def _decode(self) -> Any:
        with closing(self._frames_from_begin()) as frames:
            for index, timestamp in enumerate(self._timestamps[self._begin :], self._begin):
                where = f"at frame {index} of {len(self._timestamps)}"
                try:
                    frame = next(frames, None)
                except av.FFmpegError as error:
                    raise self.error(f"the video does not decode {where} ({error.strerror}).", COPY_HINT) from error
                if frame is None:
                    raise self.error(f"decoding ends early, {where}.", COPY_HINT)
                if frame.is_corrupt:
                    raise self.error(f"the decoder reports a corrupt picture {where}.", COPY_HINT)
                if frame.pts != timestamp:
                    raise self.error(
                        f"the decoder gives timestamp {frame.pts} {where}, where packets announce {timestamp}.",
                        ENCODE_HINT,
                    )
                yield frame

    def _frames_from_begin(self) -> Generator[Any, None, None]:
        """What the decoder gives from frame `begin` on: after a seek where that leads there, or else from the start."""
        if self._begin:
            sought = self._frames(seek=True)
            try:
                frame = next(sought, None)
            except av.FFmpegError:
                frame = None
            if frame is not None and frame.pts == self._timestamps[self._begin]:
                yield frame
                yield from sought
                return
            sought.close()
        yield from self._frames(seek=False)

    def _frames(self, *, seek: bool) -> Generator[Any, None, None]:
        with open_video(self._place) as (container, stream):
            stream.codec_context.options = STRICT_DECODING
            if seek:
                container.seek(self._timestamps[max(0, self._begin - SEEK_FRAMES)], stream=stream)
            for frame in container.decode(stream):
                if not self._begin or frame.pts is None or frame.pts >= self._timestamps[self._begin]:
                    yield frame

    def _upright(self, pixels: Images, frame: Any) -> Images:
        """Applies the display matrix, which takes a stored (x, y) to a shown (a x + c y, b x + d y) up to an offset."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return pixels
        a, b, _, c, d = (int(value) for value in np.sign(np.frombuffer(data, np.int32)[:5]))
        if b == c == 0 and a and d:
            return np.ascontiguousarray(pixels[::d, ::a])
        if a == d == 0 and b and c:
            return np.ascontiguousarray(pixels.swapaxes(0, 1)[::b, ::c])
        raise self.error(f"it is to be shown turned by {frame.rotation} degrees, not a multiple of 90.", ENCODE_HINT)


def _num_bytes(frame: Any) -> int:
    return sum(plane.buffer_size for plane in frame.planes)
