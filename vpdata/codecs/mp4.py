"""The bytes of an mp4 as our muxer writes it in; where its samples lie, and which frame each of them is, out.

Reading the sample tables here takes an eighth of the time of opening and draining a demuxer, and tells of every packet
which frame it is before the first one is decoded. Boxes are those of ISO/IEC 14496-12 (tables) and 14496-15 (`avcC`).
One track, no fragments, no 64-bit boxes.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import ShardError

TO_SAMPLE_TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
CONFIGURATIONS = {b"avc1": b"avcC", b"av01": b"av1C"}  # the sample entry, and its box with what a decoder needs first
SAMPLE_ENTRY_SIZE = 78  # a VisualSampleEntry's own fields
NAL_LENGTH_SIZE = 4
SLICE, KEY_SLICE = 1, 5  # values of nal_unit_type

Range = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """One track. Sample k in decode order is the bytes [starts[k], stops[k]) and shows the frame numbered frames[k].

    `frames` holds every number from 0 once, in the order of presentation. `keys` are the samples that decode without
    those before them; the first is 0. `configuration` is what a decoder needs first; sizes are in pixels.
    """

    configuration: bytes
    height: int
    width: int
    starts: list[int]
    stops: list[int]
    frames: list[int]
    keys: list[int]


def read_samples(data: bytes) -> Samples:
    """Reads the tables of an mp4. Raises ShardError where they are damaged, or not such as `write_video` makes."""
    try:
        return _read_samples(data)
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise ShardError(f"the video does not decode (mp4 tables: {error!r}).") from error


def is_reference(data: bytes, start: int, stop: int) -> bool:
    """Whether other frames may need this H.264 sample: its slices have another nal_ref_idc than 0.

    Raises:
        ShardError: no slice in the sample.
    """
    while start + NAL_LENGTH_SIZE < stop:
        header = data[start + NAL_LENGTH_SIZE]
        if header & 31 in (SLICE, KEY_SLICE):
            return header >> 5 & 3 != 0
        start += NAL_LENGTH_SIZE + int.from_bytes(data[start : start + NAL_LENGTH_SIZE], "big")
    raise ShardError("the video does not decode (a sample without a slice).")


def _read_samples(data: bytes) -> Samples:
    start, stop = 0, len(data)
    for name in TO_SAMPLE_TABLES:
        start, stop = dict(_boxes(data, start, stop))[name]
    tables = dict(_boxes(data, start, stop))
    configuration, height, width = _description(data, tables[b"stsd"])
    sizes = _sizes(data, tables[b"stsz"])
    starts = _starts(data, tables, sizes)
    stops = starts + sizes
    _require(sizes.min() > 0 and starts.min() >= 0 and stops.max() <= len(data), "a sample lies outside the file")
    order = np.argsort(_times(data, tables, len(sizes)), kind="stable")
    frames = np.empty(len(order), np.int64)
    frames[order] = np.arange(len(order))
    keys = _table(data, tables[b"stss"])[:, 0] - 1 if b"stss" in tables else np.arange(len(sizes))
    _require(len(keys) > 0 and keys[0] == 0 and keys[-1] < len(sizes), "key frames")
    _require((np.diff(keys) > 0).all(), "key frames out of order")
    return Samples(
        configuration=configuration,
        height=height,
        width=width,
        starts=starts.tolist(),
        stops=stops.tolist(),
        frames=frames.tolist(),
        keys=keys.tolist(),
    )


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, Range]]:
    """The boxes that fill [start, stop) exactly, each with the range of its payload."""
    while start < stop:
        size, name = struct.unpack_from(">I4s", data, start)
        _require(8 <= size <= stop - start, f"box {name!r} of {size} bytes")
        yield name, (start + 8, start + size)
        start += size


def _description(data: bytes, box: Range) -> tuple[bytes, int, int]:
    """The decoder's configuration, height and width from `stsd`."""
    ((name, (start, stop)),) = _boxes(data, box[0] + 8, box[1])
    width, height = struct.unpack_from(">HH", data, start + 24)
    first, last = dict(_boxes(data, start + SAMPLE_ENTRY_SIZE, stop))[CONFIGURATIONS[name]]
    return data[first:last], height, width


def _sizes(data: bytes, box: Range) -> NDArray[np.int64]:
    same, count = struct.unpack_from(">II", data, box[0] + 4)
    listed = 0 if same else count  # where all are equal, as in a video of one frame, none is listed
    _require(0 < count <= len(data) and box[0] + 12 + 4 * listed == box[1], f"sizes of {count} samples")
    if same:
        return np.full(count, same, np.int64)
    return np.frombuffer(data, ">u4", count, box[0] + 12).astype(np.int64)


def _starts(data: bytes, tables: Mapping[bytes, Range], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each sample begins: samples lie one behind the other in chunks, whose beginnings are in `stco`."""
    chunks = _table(data, tables[b"stco"])[:, 0]
    first_chunks, num_samples, _ = _table(data, tables[b"stsc"], columns=3).T
    repeats = np.diff(np.append(first_chunks - 1, len(chunks)))
    _require(first_chunks[0] == 1 and (repeats > 0).all(), "chunks out of order")
    _require(num_samples.min() > 0 and int(num_samples @ repeats) == len(sizes), "samples of the chunks")
    chunk_sizes = np.repeat(num_samples, repeats)
    before = np.cumsum(sizes) - sizes
    first_samples = np.cumsum(chunk_sizes) - chunk_sizes
    starts: NDArray[np.int64] = before + np.repeat(chunks - before[first_samples], chunk_sizes)
    return starts


def _times(data: bytes, tables: Mapping[bytes, Range], count: int) -> NDArray[np.int64]:
    """When each sample is shown, all different, in the track's units."""
    durations = _runs(data, tables[b"stts"], count)
    times = np.cumsum(durations) - durations
    if b"ctts" in tables:
        times += _runs(data, tables[b"ctts"], count)
    _require(len(np.unique(times)) == count, "two samples at one time")
    return times


def _runs(data: bytes, box: Range, count: int) -> NDArray[np.int64]:
    """A table of (how often, value) written out; `count` values."""
    lengths, values = _table(data, box, columns=2).T
    _require(int(lengths.sum()) == count, f"times of {count} samples")
    return np.repeat(values, lengths)


def _table(data: bytes, box: Range, *, columns: int = 1) -> NDArray[np.int64]:
    """The rows of a table of 32-bit numbers, (rows, columns), at least one. Our muxer writes none that are negative."""
    (count,) = struct.unpack_from(">I", data, box[0] + 4)
    _require(count > 0 and box[0] + 8 + 4 * columns * count == box[1], f"table of {count} rows")
    return np.frombuffer(data, ">u4", columns * count, box[0] + 8).reshape(count, columns).astype(np.int64)


def _require(condition: bool | np.bool_, message: str) -> None:
    if not condition:
        raise ValueError(message)
