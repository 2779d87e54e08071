"""The recordings that are damaged in the fuzz run: small whole files of every format, made from those of the tests.

Leaves, for each, the sound bytes, where their structures begin, and which of them a checksum of the file itself covers.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import av
import h5py
import simplejpeg
from mcap_ros2.writer import Writer

from benchmarks.data.recorded import RECORDINGS
from vpdata.sources import SourceOptions

STEPS = 12
START, PERIOD = 1_700_000_000 * 10**9, 50_000_000  # nanoseconds
STAMPED = "std_msgs/Header header\n"
HEADER = (
    f"{'=' * 80}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    f"{'=' * 80}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
)
TOPICS = """
[cameras]
front = "/camera"
[[state]]
topic = "/joints"
fields = { lift = "position[lift]" }
"""
MCAP_MAGIC = b"\x89MCAP0\r\n"
CHUNK, CHUNK_HEAD = 6, 9 + 8 + 8 + 8 + 4 + 4 + 4 + 8  # opcode of a chunk; bytes before its records, of "zstd"
SIGNATURES = {
    ".hdf5": rb"\x89HDF|TREE|SNOD|HEAP|GCOL|OHDR|FRHP|BTHD",
    ".mp4": rb"....(?:ftyp|moov|mvhd|trak|tkhd|edts|mdia|mdhd|minf|st(?:bl|sd|ts|ss|sc|sz|co)|mdat|moof|traf|trun)",
    ".mkv": rb"\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\x1c\x53\xbb\x6b|\xa3[\x40-\x7f]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A sound recording.

    Attributes:
        name: for tables.
        source: the plugin that reads it.
        file: the name that the damaged bytes get.
        data: the sound bytes.
        beside: the other files of the recording, by name.
        places: where structures begin, in order.
        checked: ranges [start, stop) that the format's own checksums cover.
        options: what the user must say about it.
    """

    name: str
    source: str
    file: str
    data: bytes
    beside: dict[str, bytes]
    places: tuple[int, ...]
    checked: tuple[tuple[int, int], ...]
    options: SourceOptions = field(default_factory=SourceOptions)


def subjects() -> tuple[Subject, ...]:
    """All of them; those that are cut from larger recordings hold the first `STEPS` steps of one demo."""
    kitchen = RECORDINGS / "robocasa" / "v0.1" / "single_stage" / "kitchen_drawer" / "OpenDrawer"
    found = [
        _hdf5("robocasa", cut_demo(next(kitchen.glob("*.hdf5")))),
        _hdf5("libero", cut_demo(next((RECORDINGS / "libero").glob("open*.hdf5")))),
        _hdf5("teleop", cut_teleop(RECORDINGS / "aloha" / "episode_0.hdf5"), name="teleop, JPEG"),
        _hdf5("teleop", (RECORDINGS / "aloha_raw" / "episode_0.hdf5").read_bytes(), name="teleop, raw"),
    ]
    videos = {
        "H.264 mp4": "libero_object_soup_000.mp4",
        "fragmented mp4": "libero_object_soup_006_fragmented.mp4",
        "HEVC mp4": "libero_spatial_bowl_003_hevc.mp4",
        "AV1 mp4": "libero_spatial_bowl_002_av1.mp4",
        "VP9 webm": "libero_spatial_bowl_004_vp9.webm",
    }
    for name, video in videos.items():
        path = RECORDINGS / "video" / video
        found.append(_subject("video", path.name, path.read_bytes(), name=name))
    found += _folder(RECORDINGS / "folder" / "close_drawer" / "demo_1", damaged=("data.parquet", "left.mkv"))
    found.append(_mcap(RECORDINGS / "video" / "robocasa_CloseDrawer_000_agentview_left.mp4"))
    return tuple(found)


def cut_demo(path: Path) -> bytes:
    """A file like it with the first steps of its first demo; layout, chunks and compression as they were."""
    buffer = io.BytesIO()
    with h5py.File(path) as source, h5py.File(buffer, "w") as target:
        data = target.create_group("data")
        data.attrs.update(source["data"].attrs)
        name = next(iter(source["data"]))
        demo = data.create_group(name)
        demo.attrs.update(source["data"][name].attrs)
        demo.attrs["num_samples"] = STEPS
        for place, values in _datasets(source["data"][name]):
            _copy(demo, place, values, STEPS)
    return buffer.getvalue()


def cut_teleop(path: Path) -> bytes:
    """A file like it with the first steps of the episode."""
    buffer = io.BytesIO()
    with h5py.File(path) as source, h5py.File(buffer, "w") as target:
        target.attrs.update(source.attrs)
        for place, values in _datasets(source):
            _copy(target, place, values, STEPS)
    return buffer.getvalue()


def _datasets(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []
    group.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    return iter(found)


def _copy(group: h5py.Group, place: str, values: h5py.Dataset, steps: int) -> None:
    rows = values[:] if place == "compress_len" else values[:steps]
    chunks = None if values.chunks is None else tuple(map(min, values.chunks, rows.shape))
    group.create_dataset(place, data=rows, chunks=chunks, compression=values.compression)


def _hdf5(source: str, data: bytes, *, name: str = "") -> Subject:
    """With the chunks that are deflated, and so end in a checksum of what they inflate to, as checked."""
    checked: list[tuple[int, int]] = []
    with h5py.File(io.BytesIO(data)) as h5:
        for _, values in _datasets(h5):
            if values.compression == "gzip":
                values.id.chunk_iter(lambda c: checked.append((c.byte_offset, c.byte_offset + c.size)))
    found = _subject(source, "episode.hdf5", data, name=name or source)
    places = sorted({*found.places, *(edge for piece in checked for edge in piece)})
    return Subject(
        name=found.name,
        source=source,
        file=found.file,
        data=data,
        beside={},
        places=tuple(places),
        checked=tuple(checked),
    )


def _mcap(video: Path) -> Subject:
    """A bag of the first frames of a video, with joints, in compressed chunks as recorders write them."""
    buffer = io.BytesIO()
    writer = Writer(buffer, chunk_size=20_000)
    image = writer.register_msgdef("sensor_msgs/msg/CompressedImage", f"{STAMPED}string format\nuint8[] data\n{HEADER}")
    joints = writer.register_msgdef(
        "sensor_msgs/msg/JointState", f"{STAMPED}string[] name\nfloat64[] position\n{HEADER}"
    )
    with av.open(str(video)) as container:
        for step, frame in enumerate(islice(container.decode(video=0), STEPS)):
            nanoseconds = START + step * PERIOD
            stamp = {"sec": nanoseconds // 10**9, "nanosec": nanoseconds % 10**9}
            header = {"stamp": stamp, "frame_id": "camera"}
            jpeg = simplejpeg.encode_jpeg(frame.to_ndarray(format="rgb24"), quality=90)
            shown = {"header": header, "format": "jpeg", "data": jpeg}
            moved = {"header": header, "name": ["lift"], "position": [step / 10]}
            writer.write_message("/camera", image, shown, log_time=nanoseconds)
            writer.write_message("/joints", joints, moved, log_time=nanoseconds)
    writer.finish()
    data = buffer.getvalue()
    records = list(_mcap_records(data))
    return Subject(
        name="MCAP",
        source="ros",
        file="drive.mcap",
        data=data,
        beside={},
        places=tuple(sorted({0, *(start for _, start, _ in records), len(data) - 8})),
        checked=tuple((start + CHUNK_HEAD, stop) for opcode, start, stop in records if opcode == CHUNK),
        options=SourceOptions(topics=TOPICS),
    )


def _mcap_records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Opcode, first byte and the byte after each record."""
    start = len(MCAP_MAGIC)
    while start < len(data) - len(MCAP_MAGIC):
        stop = start + 9 + int.from_bytes(data[start + 1 : start + 9], "little")
        yield data[start], start, stop
        start = stop


def _subject(source: str, file: str, data: bytes, *, name: str) -> Subject:
    suffix = {".webm": ".mkv", ".parquet": ""}.get(Path(file).suffix, Path(file).suffix)
    pattern = SIGNATURES.get(suffix)
    places = [match.start() for match in re.finditer(pattern, data, re.DOTALL)] if pattern else []
    return Subject(
        name=name,
        source=source,
        file=file,
        data=data,
        beside={},
        places=tuple(sorted({0, *places, len(data) - 8})),
        checked=(),
    )


def _folder(folder: Path, *, damaged: tuple[str, ...]) -> list[Subject]:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = []
    for name in damaged:
        one = _subject("folder", name, files[name], name=f"folder, {name}")
        beside = {other: data for other, data in files.items() if other != name}
        found.append(
            Subject(
                name=one.name,
                source=one.source,
                file=name,
                data=one.data,
                beside=beside,
                places=one.places,
                checked=(),
            )
        )
    return found
