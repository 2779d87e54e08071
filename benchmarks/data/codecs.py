"""Ways to store and to decode a camera's frames: bytes, fidelity, and what a window of 8 frames costs at three strides.

    python -m benchmarks.data.codecs
    python -m benchmarks.data.codecs --recordings FILE_OR_FOLDER

Windows begin at every frame, so at every phase of a group of pictures. Times are processor time of decoding alone, from
bytes in memory, in one thread; all ways are timed one after another, round by round, and the table shows the median
over the rounds of a way's time by that of the default in the same round. The first rows are codecs; "h264 as …" are
other layouts of H.264; "h264 by …" are other ways to decode the same bytes, as far as they are installed.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from benchmarks.data.recorded import RECORDINGS, psnr_of_frames, recorded
from benchmarks.data.tables import machine
from vpdata import codecs
from vpdata.codecs import decoders, h264
from vpdata.codecs.colour import TO_RGB, yuv_frames
from vpdata.codecs.container import write_video
from vpdata.codecs.decoders.pyav import needed_samples
from vpdata.codecs.jpeg import pack
from vpdata.codecs.mp4 import read_samples

Frames = NDArray[np.uint8]
STRIDES = (1, 2, 4)
WINDOW = 8
DEFAULT = "h264"
LAYOUTS = {
    "h264 as P only, key frame every 8": "keyint=8:min-keyint=8:bframes=0",
    "h264 as 3 B, key frame every 17": "keyint=17:min-keyint=17:bframes=3:b-adapt=0:b-pyramid=none",
    "h264 as 3 B, key frame every 33": "keyint=33:min-keyint=33:bframes=3:b-adapt=0:b-pyramid=none",
    "h264 as 15 B, key frame every 33": "keyint=33:min-keyint=33:bframes=15:b-adapt=0:b-pyramid=none",
    "h264 as key frames only": "keyint=1:bframes=0",
}
JPEGS = {"jpeg q90 4:2:0": (90, "420"), "jpeg q90 4:4:4": (90, "444"), "jpeg q95 4:2:0": (95, "420")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to store and to decode. `frames_decoded` counts those that a window needs."""

    name: str
    encode: Callable[[Frames], bytes]
    decode_into: Callable[[bytes, Sequence[int], Frames], None]
    frames_decoded: Callable[[bytes, Sequence[int]], int] = lambda _, indices: len(indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way. The last three are for each of `STRIDES`: of a window, and its time by that of the default."""

    name: str
    bytes_a_frame: float
    psnr_mean_db: float
    psnr_worst_db: float
    encode_ms_a_frame: float
    window_ms: tuple[float, ...]
    ratios: tuple[float, ...]
    frames_decoded: tuple[float, ...]


def ways() -> list[Way]:
    """Codecs, layouts of H.264, JPEGs, and decoders of H.264."""
    found = [_codec(name) for name in codecs.NAMES]
    found += [_layout(name, parameters) for name, parameters in LAYOUTS.items()]
    found += [_jpeg(name, quality, chroma) for name, (quality, chroma) in JPEGS.items()]
    found.append(
        replace(_codec("h264"), name="h264 by PyAV's demuxer", decode_into=_demux, frames_decoded=_all_of_group)
    )
    for report in decoders.available():
        if report.name == "pyav" or not report.available:
            print(f"{report.name}: {report.reason or 'the default'}", file=sys.stderr)
            continue
        decode = _by_decoder(decoders.select(report.name))
        name = f"h264 by {report.name} {report.version}"
        found.append(replace(_codec("h264"), name=name, decode_into=decode, frames_decoded=_all_of_group))
    return found


def _codec(name: str) -> Way:
    codec = codecs.load(name)

    def decoded(data: bytes, indices: Sequence[int]) -> int:
        return len(needed_samples(data, read_samples(data), set(indices), codec=name))

    way = Way(name=name, encode=lambda frames: codec.encode(frames, fps=20), decode_into=codec.decode_into)
    return replace(way, frames_decoded=decoded) if codec.extension == "mp4" else way


def _layout(name: str, parameters: str) -> Way:
    options = h264.FORMAT.options | {"x264-params": f"{parameters}:scenecut=0:8x8dct=0"}
    form = replace(h264.FORMAT, options=options)

    def encode(frames: Frames) -> bytes:
        converted, height, width = yuv_frames(frames)
        return write_video(converted, form, width=width, height=height, fps=20)

    return replace(_codec("h264"), name=name, encode=encode)


def _jpeg(name: str, quality: int, chroma: str) -> Way:
    def encode(frames: Frames) -> bytes:
        return pack([simplejpeg.encode_jpeg(frame, quality=quality, colorsubsampling=chroma) for frame in frames])

    return replace(_codec("jpeg"), name=name, encode=encode)


def _by_decoder(decoder: decoders.Decoder) -> Callable[[bytes, Sequence[int], Frames], None]:
    return lambda data, indices, out: decoder.decode_into(data, indices, out, codec="h264")


def _demux(data: bytes, indices: Sequence[int], out: Frames) -> None:
    """The usual way: open the file, and decode every group of pictures that a wanted frame lies in."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        packets = [packet for packet in container.demux(stream) if packet.size]
        index_of = {pts: index for index, pts in enumerate(sorted(packet.pts for packet in packets))}
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
        for start, stop in zip(keys, [*keys[1:], len(packets)], strict=True):
            if not any(index_of[packet.pts] in indices for packet in packets[start:stop]):
                continue
            for packet in [*packets[start:stop], None]:
                for frame in stream.codec_context.decode(packet):
                    if index_of[frame.pts] in indices:
                        out[indices.index(index_of[frame.pts])] = frame.reformat(**TO_RGB).to_ndarray()
            stream.codec_context.flush_buffers()


def _all_of_group(data: bytes, indices: Sequence[int]) -> int:
    keys = [*read_samples(data).keys, len(read_samples(data).frames)]
    groups = {max(key for key in keys if key <= index) for index in indices}
    return sum(keys[keys.index(group) + 1] - group for group in groups)


def _time(way: Way, stored: Sequence[bytes], clips: Sequence[Frames], stride: int) -> float:
    """Milliseconds of processor time a window, over all windows of all clips."""
    num_windows = 0
    begin = time.process_time()
    for data, frames in zip(stored, clips, strict=True):
        out = np.empty((WINDOW, *frames.shape[1:]), np.uint8)
        for indices in _windows(len(frames), stride):
            way.decode_into(data, indices, out)
            num_windows += 1
    return 1000 * (time.process_time() - begin) / num_windows


def _windows(num_frames: int, stride: int) -> list[range]:
    return [range(start, start + WINDOW * stride, stride) for start in range(num_frames - (WINDOW - 1) * stride)]


def measure(clips: Sequence[Frames], *, rounds: int) -> list[Measured]:
    """Stores the clips in every way, then times all ways in turn."""
    found = ways()
    stored, encode_ms = {}, {}
    for way in found:
        begin = time.process_time()
        stored[way.name] = [way.encode(frames) for frames in clips]
        encode_ms[way.name] = 1000 * (time.process_time() - begin) / sum(map(len, clips))
    times: dict[str, list[tuple[float, ...]]] = {way.name: [] for way in found}
    for number in range(rounds):
        for way in found:
            print(f"round {number + 1} of {rounds}: {way.name}", file=sys.stderr, flush=True)
            times[way.name].append(tuple(_time(way, stored[way.name], clips, stride) for stride in STRIDES))
    return [_measured(way, stored[way.name], clips, times, encode_ms[way.name]) for way in found]


def _measured(
    way: Way,
    stored: Sequence[bytes],
    clips: Sequence[Frames],
    times: dict[str, list[tuple[float, ...]]],
    encode_ms: float,
) -> Measured:
    psnr = []
    for data, frames in zip(stored, clips, strict=True):
        out = np.empty_like(frames)
        way.decode_into(data, range(len(frames)), out)
        psnr.append(psnr_of_frames(out, frames))
    columns = range(len(STRIDES))
    per_round = zip(times[way.name], times[DEFAULT], strict=True)
    ratios = [tuple(mine / default for mine, default in zip(a, b, strict=True)) for a, b in per_round]
    decoded = [
        statistics.mean(
            way.frames_decoded(data, indices)
            for data, frames in zip(stored, clips, strict=True)
            for indices in _windows(len(frames), stride)
        )
        for stride in STRIDES
    ]
    return Measured(
        name=way.name,
        bytes_a_frame=sum(map(len, stored)) / sum(map(len, clips)),
        psnr_mean_db=float(np.concatenate(psnr).mean()),
        psnr_worst_db=float(np.concatenate(psnr).min()),
        encode_ms_a_frame=encode_ms,
        window_ms=tuple(statistics.median(row[k] for row in times[way.name]) for k in columns),
        ratios=tuple(statistics.median(row[k] for row in ratios) for k in columns),
        frames_decoded=tuple(decoded),
    )


def _table(rows: Sequence[Measured]) -> str:
    of = " / ".join(map(str, STRIDES))
    heads = ["", "bytes a frame", "PSNR, worst (dB)", "encode, ms a frame", f"window, ms, stride {of}"]
    heads += ["time by the default's", "frames decoded"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = (
            row.name,
            f"{row.bytes_a_frame:,.0f}",
            "exact" if row.psnr_worst_db == float("inf") else f"{row.psnr_mean_db:.1f}, {row.psnr_worst_db:.1f}",
            f"{row.encode_ms_a_frame:.1f}",
            " / ".join(f"{value:.2f}" for value in row.window_ms),
            " / ".join(f"{value:.2f}" for value in row.ratios),
            " / ".join(f"{value:.1f}" for value in row.frames_decoded),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=RECORDINGS / "robocasa", metavar="PATH")
    parser.add_argument("--source", default="robocasa", help="what wrote them")
    parser.add_argument("--clips", type=int, default=3, help="cameras of episodes to take")
    parser.add_argument("--frames", type=int, default=100, help="of each, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = recorded(args.source, args.recordings, num_frames=args.frames)
    clips = [one.frames for _, one in zip(range(args.clips), found, strict=False)]
    rows = measure(clips, rounds=args.rounds)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    sizes = ", ".join(sorted({f"{frames.shape[1]}x{frames.shape[2]}" for frames in clips}))
    print(f"{len(clips)} clips of at most {args.frames} frames {sizes}\n{machine()}\n\n{_table(rows)}")


if __name__ == "__main__":
    main()
