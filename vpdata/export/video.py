"""Runs in, one mp4 of a camera's frames out; and mp4s of several runs in, one mp4 of all of them out.

Packets are copied. Our clips begin with a key frame, and what follows a key frame never needs what stands before it:

    clip 0   I b b b P … I b b b P | b b b P …         taken up to a reference: copied
    clip 1                           I b b b P …
    clip 0   I b b b P … I b b | b P b b b …           taken up to a b that needs a later P: from its last key frame on,
                                                       the frames are encoded again

Where clips are stored in something that is no mp4, or of another encoder, all frames of the run are encoded again.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from vpdata import codecs
from vpdata.export.runs import Run
from vpdata.schema import Clip
from vpdata.shards.files import PARTIAL

JOINABLE = ("h264", "av1")
"""Codecs whose members are mp4."""
MAX_FPS_DENOMINATOR = 1001


def codec_for(stored: Iterable[str]) -> str:
    """The codec of an export's videos: the stored one where all clips have the same mp4 codec, or else H.264."""
    names = set(stored)
    return names.pop() if len(names) == 1 and names <= set(JOINABLE) else JOINABLE[0]


def write_run(run: Run, camera: str, path: Path, *, codec: str) -> int:
    """Writes one camera of a run as `path`, which appears whole or not at all.

    Returns:
        How many of the frames were encoded again.

    Raises:
        ShardError: the data set is damaged.
    """
    parts = list(_parts(run, camera, codec=codec))
    if len({part.video.configuration for part in parts}) > 1:  # made by different versions of an encoder
        everything = run.frames(camera, range(run.num_frames))
        parts = [_encoded(codecs.load(codec).encode(everything, fps=run.episode.fps), num_frames=run.num_frames)]
    partial = path.with_name(path.name + PARTIAL)
    with JoinedVideo(partial, like=parts[0].video, fps=run.episode.fps) as joined:
        for part in parts:
            joined.append(part.packets)
    assert joined.num_frames == run.num_frames
    partial.rename(path)
    return sum(part.num_encoded for part in parts)


class OpenVideo:
    """An mp4 of ours, open for copying. To be closed, or used as a context.

    Attributes:
        configuration: the decoder's; mp4s that agree in it may be joined.
        stream: PyAV's.
    """

    def __init__(self, file: Path | io.BytesIO) -> None:
        self._container = av.open(str(file) if isinstance(file, Path) else file)
        self.stream = self._container.streams.video[0]
        self.configuration = bytes(self.stream.codec_context.extradata)

    def packets(self) -> Iterator[Any]:
        """All packets, in the order of decoding."""
        return (packet for packet in self._container.demux(self.stream) if packet.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._container.close()


class JoinedVideo:
    """An mp4 being written from the packets of others, one behind the other. As a context, closed at its end.

    Attributes:
        num_frames: so far.
    """

    def __init__(self, path: Path, *, like: OpenVideo, fps: float) -> None:
        options = {"movflags": "faststart", "fflags": "+bitexact"}
        self._container = av.open(str(path), "w", format="mp4", options=options)
        self._stream = self._container.add_stream_from_template(like.stream, opaque=True)
        self._stream.time_base = like.stream.time_base
        self._frame_seconds = 1 / Fraction(fps).limit_denominator(MAX_FPS_DENOMINATOR)
        self._delay = like.stream.codec_context.has_b_frames
        self.num_frames = 0

    def append(self, packets: Iterable[Any]) -> None:
        """Adds packets, in the order of decoding, of a video whose configuration is that of the first."""
        before = self.num_frames
        for packet in packets:
            frame_ticks = self._frame_seconds / packet.time_base
            assert frame_ticks.denominator == 1
            packet.pts += before * int(frame_ticks)
            packet.dts = (self.num_frames - self._delay) * int(frame_ticks)  # a part of one frame has no delay itself
            packet.stream = self._stream
            self._container.mux(packet)
            self.num_frames += 1

    def close(self) -> None:
        """Writes what stands at the file's beginning, and ends."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    video: OpenVideo
    packets: Sequence[Any]
    num_encoded: int


def _parts(run: Run, camera: str, *, codec: str) -> Iterator[_Part]:
    encode = codecs.load(codec).encode
    for clip, num_frames in run.clips():
        copied = 0
        if clip.codec == codec:
            part = _copied(run, clip, camera, num_frames)
            copied = len(part.packets)
            if copied:
                yield part
        if copied < num_frames:
            frames = iter(run.dataset.frames(clip, camera, range(copied, num_frames)))
            yield _encoded(encode(frames, fps=run.episode.fps), num_frames=num_frames - copied)


def _copied(run: Run, clip: Clip, camera: str, num_frames: int) -> _Part:
    """The packets of as many of the clip's first `num_frames` frames as decode without those that follow."""
    extension = codecs.load(clip.codec).extension
    video = OpenVideo(io.BytesIO(run.dataset.read(clip, f"{camera}.{extension}")))
    packets = list(video.packets())
    times = sorted(packet.pts for packet in packets)
    assert len(times) == clip.num_frames
    end = times[num_frames] if num_frames < len(times) else times[-1] + 1
    inside = [packet for packet in packets if packet.pts < end]
    if inside != packets[: len(inside)]:
        last_key = max(packet.pts for packet in inside if packet.is_keyframe)
        inside = [packet for packet in inside if packet.pts < last_key]
    return _Part(video=video, packets=inside, num_encoded=0)


def _encoded(data: bytes, *, num_frames: int) -> _Part:
    video = OpenVideo(io.BytesIO(data))
    return _Part(video=video, packets=list(video.packets()), num_encoded=num_frames)
