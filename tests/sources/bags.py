"""Writes bags from real frames with the writers of rosbags and of mcap; what is read back can be told apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mcap.writer import CompressionType
from mcap_ros2.writer import Writer as McapWriter
from numpy.typing import NDArray
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Rosbag2Writer
from rosbags.typesys import Stores, get_typestore

START = 1_700_000_000 * 10**9
LATENCY = 7_000_000  # nanoseconds from the stamp to its receipt
JOINTS = ("lift", "elbow")

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Message:
    """One message: `stamp` in nanoseconds, None where its type has no header."""

    topic: str
    kind: str
    received: int
    stamp: int | None
    body: Mapping[str, Any]


def at(seconds: float) -> int:
    """Nanoseconds since the epoch of a time in the recording."""
    return START + round(seconds * 1e9)


def message(topic: str, kind: str, seconds: float, body: Mapping[str, Any], *, has_header: bool = True) -> Message:
    stamp = at(seconds)
    return Message(topic, kind, stamp + LATENCY, stamp if has_header else None, body)


def raw(frame: Images, encoding: str = "rgb8", *, padding: int = 0) -> dict[str, Any]:
    """The body of a sensor_msgs/Image; rows end in `padding` bytes of no meaning."""
    channels = {"rgb8": frame, "bgr8": frame[..., ::-1], "mono8": frame[..., :1]}
    alpha = np.full((*frame.shape[:2], 1), 77, np.uint8)
    channels |= {"rgba8": np.concatenate([frame, alpha], 2), "bgra8": np.concatenate([frame[..., ::-1], alpha], 2)}
    rows = channels[encoding].reshape(len(frame), -1)
    rows = np.concatenate([rows, np.full((len(frame), padding), 13, np.uint8)], axis=1)
    height, width = frame.shape[:2]
    about = {"height": height, "width": width, "encoding": encoding, "is_bigendian": 1, "step": rows.shape[1]}
    return {**about, "data": rows.reshape(-1)}


def compressed(frame: Images, text: str = "rgb8; png compressed bgr8") -> dict[str, Any]:
    """The body of a sensor_msgs/CompressedImage, made by OpenCV as image_transport does."""
    codec = ".png" if "png" in text else ".jpg"
    is_bgr = ";" not in text or "compressed bgr" in text
    written, data = cv2.imencode(codec, frame[..., ::-1] if is_bgr else frame)
    assert written
    return {"format": text, "data": data.reshape(-1)}


def joints(seconds: float) -> dict[str, Any]:
    """A JointState whose positions say their time; the order of the joints changes from message to message."""
    names, position = list(JOINTS), [seconds, -seconds]
    if round(seconds * 1000) % 2:
        names, position = names[::-1], position[::-1]
    return {"name": names, "position": np.array(position), "velocity": np.zeros(0), "effort": np.zeros(0)}


def numbers(*values: float) -> dict[str, Any]:
    """The body of a Float64MultiArray."""
    return {"layout": {"dim": [], "data_offset": 0}, "data": np.array(values, np.float64)}


def drive(
    frames: Mapping[str, Images],
    *,
    seconds: Sequence[float],
    encode: Callable[[Images], dict[str, Any]] = compressed,
    state_seconds: Sequence[float] | None = None,
    action_seconds: Sequence[float] | None = None,
) -> list[Message]:
    """Cameras `/NAME` at these times, `/joint_states`, and `/command` with its number and its time."""
    kind = "sensor_msgs/msg/CompressedImage" if "format" in encode(frames["wrist"][0]) else "sensor_msgs/msg/Image"
    found = [
        message(f"/{name}", kind, second, encode(shown[i]))
        for name, shown in frames.items()
        for i, second in enumerate(seconds)
    ]
    states = seconds if state_seconds is None else state_seconds
    found.extend(message("/joint_states", "sensor_msgs/msg/JointState", second, joints(second)) for second in states)
    for i, second in enumerate(seconds if action_seconds is None else action_seconds):
        found.append(
            message("/command", "std_msgs/msg/Float64MultiArray", second, numbers(i, second), has_header=False)
        )
    return sorted(found, key=lambda one: one.received)


def moved(messages: Sequence[Message], topic: str, seconds: float) -> list[Message]:
    """The same, with the stamps of one topic shifted; when they were received stays."""
    return [
        replace(one, stamp=one.stamp + round(seconds * 1e9)) if one.topic == topic and one.stamp else one
        for one in messages
    ]


def write_ros1(path: Path, messages: Sequence[Message], *, compression: str | None = None) -> Path:
    """A ROS 1 bag, its chunks compressed with bz2, lz4 or not."""
    store = get_typestore(Stores.ROS1_NOETIC)
    writer = Rosbag1Writer(path)
    if compression:
        writer.set_compression(Rosbag1Writer.CompressionFormat[compression.upper()])
    with writer:
        connections: dict[str, Any] = {}
        for one in messages:
            if one.topic not in connections:
                connections[one.topic] = writer.add_connection(one.topic, one.kind, typestore=store)
            data = store.serialize_ros1(_built(store, one.kind, _whole(one, is_ros1=True)), one.kind)
            writer.write(connections[one.topic], one.received, data)
    return path


def write_ros2(
    path: Path, messages: Sequence[Message], *, storage: str = "mcap", compression: str | None = None
) -> Path:
    """A ROS 2 bag: a folder, with SQLite (`sqlite3`) or MCAP inside; compression is `file`, `message`, `storage`."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    writer = Rosbag2Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for one in messages:
            if one.topic not in connections:
                connections[one.topic] = writer.add_connection(one.topic, one.kind, typestore=store)
            data = store.serialize_cdr(_built(store, one.kind, _whole(one)), one.kind)
            writer.write(connections[one.topic], one.received, data)
    return path


def write_mcap(path: Path, messages: Sequence[Message], *, compression: str = "ZSTD", chunk_size: int = 20_000) -> Path:
    """A bare MCAP file by the writer of the format's own library, which shares nothing with rosbags."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=chunk_size, compression=CompressionType[compression])
        schemas: dict[str, Any] = {}
        for one in messages:
            kind = one.kind
            if kind not in schemas:
                definition, _ = store.generate_msgdef(kind, ros_version=2)
                schemas[kind] = writer.register_msgdef(kind, definition)
            body = {name: _plain(value) for name, value in _whole(one).items()}
            writer.write_message(one.topic, schemas[kind], body, log_time=one.received)
        writer.finish()
    return path


def _whole(one: Message, *, is_ros1: bool = False) -> dict[str, Any]:
    if one.stamp is None:
        return dict(one.body)
    header = {"stamp": {"sec": one.stamp // 10**9, "nanosec": one.stamp % 10**9}, "frame_id": "there"}
    return {"header": {**header, **({"seq": 0} if is_ros1 else {})}, **one.body}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.dtype == np.uint8 else value.tolist()
    return value


def _built(store: Any, kind: str, values: Mapping[str, Any]) -> Any:
    """A message of rosbags from nested mappings."""
    fields = dict(store.fielddefs[kind][1])
    return store.types[kind](
        **{
            name: _built(store, fields[name][1], value) if isinstance(value, Mapping) else value
            for name, value in values.items()
        }
    )
