"""Recordings of one file for the fuzz run: HDF5, videos, a bag; small and whole.

Enters: `tests/recordings`. Leaves: a `Subject` for each.
"""

import io
from itertools import islice
from pathlib import Path

import av
import h5py
import simplejpeg
from mcap_ros2.writer import Writer

from benchmarks.data.fuzz_formats import DEFAULTS, Subject, datasets_of
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


def recordings_of_one_file() -> list[Subject]:
    """HDF5, videos and a bag; those that are cut from larger recordings hold the first `STEPS` steps of one demo."""
    kitchen = RECORDINGS / "robocasa" / "v0.1" / "single_stage" / "kitchen_drawer" / "OpenDrawer"
    found = [
        _alone("robocasa", "episode.hdf5", cut_demo(next(kitchen.glob("*.hdf5"))), name="robocasa"),
        _alone("libero", "episode.hdf5", cut_demo(next((RECORDINGS / "libero").glob("open*.hdf5"))), name="libero"),
        _alone("teleop", "episode.hdf5", cut_teleop(RECORDINGS / "aloha" / "episode_0.hdf5"), name="teleop, JPEG"),
        _alone(
            "teleop", "episode.hdf5", (RECORDINGS / "aloha_raw" / "episode_0.hdf5").read_bytes(), name="teleop, raw"
        ),
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
        found.append(_alone("video", path.name, path.read_bytes(), name=name))
    bag = mcap(RECORDINGS / "video" / "robocasa_CloseDrawer_000_agentview_left.mp4")
    found.append(_alone("ros", "drive.mcap", bag, name="MCAP", options=SourceOptions(topics=TOPICS)))
    return found


def _alone(source: str, file: str, data: bytes, *, name: str, options: SourceOptions = DEFAULTS) -> Subject:
    return Subject(name=name, source=source, files={file: data}, file=file, given=file, options=options)


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
        for place, values in datasets_of(source["data"][name]):
            _copy(demo, place, values, STEPS)
    return buffer.getvalue()


def cut_teleop(path: Path) -> bytes:
    """A file like it with the first steps of the episode."""
    buffer = io.BytesIO()
    with h5py.File(path) as source, h5py.File(buffer, "w") as target:
        target.attrs.update(source.attrs)
        for place, values in datasets_of(source):
            _copy(target, place, values, STEPS)
    return buffer.getvalue()


def _copy(group: h5py.Group, place: str, values: h5py.Dataset, steps: int) -> None:
    rows = values[:] if place == "compress_len" else values[:steps]
    chunks = None if values.chunks is None else tuple(map(min, values.chunks, rows.shape))
    group.create_dataset(place, data=rows, chunks=chunks, compression=values.compression)


def mcap(video: Path) -> bytes:
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
    return buffer.getvalue()
