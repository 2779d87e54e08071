"""PyAV without a demuxer: the packets that a window needs go straight to a decoder that each thread keeps.

Of a group of pictures, nothing after the last wanted frame is decoded, and no frame that neither is wanted nor may be
referred to. Frames are told apart by their packet's number, never by the order in which the decoder returns them.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vpdata.codecs.colour import TO_RGB
from vpdata.codecs.mp4 import Samples, is_reference, read_samples
from vpdata.codecs.request import check_indices, check_size
from vpdata.errors import ShardError

LIBRARIES = {"h264": "h264", "av1": "libdav1d"}
MAX_CONTEXTS = 16  # a thread keeps; one for each size, rate and encoder setting that its windows have


class PyavDecoder:
    """The default."""

    name = "pyav"
    codecs = tuple(LIBRARIES)

    def version(self) -> str:
        """See `Decoder.version`."""
        return str(av.__version__)

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8], *, codec: str) -> None:
        """See `Decoder.decode_into`."""
        samples = read_samples(data)
        check_indices(indices, len(samples.frames))
        check_size(samples.height, samples.width, out, padding=1)
        height, width = out.shape[1:3]
        places: dict[int, list[int]] = {}
        for place, index in enumerate(indices):
            places.setdefault(index, []).append(place)
        missing = set(places)
        for frame in _decode(data, samples, needed_samples(data, samples, missing, codec=codec), codec=codec):
            if frame.pts not in missing:
                continue
            missing.remove(frame.pts)
            check_size(frame.height, frame.width, out, padding=1)
            rgb = _own.reformatter.reformat(frame, **TO_RGB).to_ndarray()
            for place in places[frame.pts]:
                out[place] = rgb[:height, :width]
        if missing:
            raise ShardError(f"only {len(places) - len(missing)} of {len(places)} frames decode.")


DECODERS = {"pyav": PyavDecoder()}


def count_frames(data: bytes, *, codec: str) -> int:
    """Decodes everything and returns the number of distinct frames."""
    samples = read_samples(data)
    return len({frame.pts for frame in _decode(data, samples, range(len(samples.frames)), codec=codec)})


def needed_samples(data: bytes, samples: Samples, wanted: Collection[int], *, codec: str) -> list[int]:
    """The samples to decode, in order, for the frames numbered in `wanted`.

    Of AV1 that is all of a group of pictures up to the last wanted frame; of H.264 not those that no frame refers to.
    """
    wanted_samples = {sample for sample, frame in enumerate(samples.frames) if frame in wanted}
    needed = []
    for start, stop in pairwise([*samples.keys, len(samples.frames)]):
        last = max((sample for sample in range(start, stop) if sample in wanted_samples), default=-1)
        for sample in range(start, last + 1):
            if (
                sample in wanted_samples
                or codec != "h264"
                or is_reference(data, samples.starts[sample], samples.stops[sample])
            ):
                needed.append(sample)
    return needed


def _decode(data: bytes, samples: Samples, numbers: Iterable[int], *, codec: str) -> Iterator[Any]:
    """Yields the decoded frames in the decoder's order; `pts` is the frame's number."""
    view = memoryview(data)
    try:
        context = _own.take(codec, samples.configuration)
        for number in numbers:
            packet = av.Packet(view[samples.starts[number] : samples.stops[number]])
            packet.pts = samples.frames[number]
            yield from context.decode(packet)
        yield from context.decode(None)
    except av.FFmpegError as error:
        raise ShardError(f"the video does not decode ({error}).") from error
    context.flush_buffers()
    _own.keep(codec, samples.configuration, context)


class _Own(threading.local):
    """What each thread has for itself. All are single-threaded, so a forked process may go on with its parent's."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()
        self.contexts: OrderedDict[tuple[str, bytes], Any] = OrderedDict()

    def take(self, codec: str, configuration: bytes) -> Any:
        """A decoder without memory of what it decoded before. One that fails or is left in the middle is not kept."""
        context = self.contexts.pop((codec, configuration), None)
        if context is None:
            context = av.CodecContext.create(LIBRARIES[codec], "r")
            context.extradata = configuration
            context.thread_count = 1
            context.open()
        return context

    def keep(self, codec: str, configuration: bytes, context: Any) -> None:
        """Takes a flushed decoder back, and lets go of the one that was used longest ago."""
        self.contexts[codec, configuration] = context
        if len(self.contexts) > MAX_CONTEXTS:
            self.contexts.popitem(last=False)


_own = _Own()
