"""Opening bags: ROS 1 files, ROS 2 folders and MCAP files, through the package rosbags.

Enters: a path. Leaves: a `Bag` that lists its topics and gives messages in order of the time they were received, one
at a time; or a SourceError that says what is wrong with it.

rosbags checks little before it reads: damaged bytes surface as almost any exception. So around each of its calls, and
only there, every exception becomes a SourceError.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vpdata.errors import SourceError, VpdataError

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

METADATA = "metadata.yaml"
SUFFIXES = (".bag", ".mcap", ".db3")
HINTS = {
    "not indexed": "Index it: rosbag reindex FILE.",
    "end magic": "The recording was cut off: mcap recover FILE -o OUT.mcap saves what is there.",
    "Profile is not ros2": "Only MCAP files of ROS 2 are read; other messages can become a plain folder.",
    "Unrecognized storage": "Give a .bag, .mcap or .db3 file, or a folder with metadata.yaml.",
}
SQLITE_HEADER_BYTES = 100
DAMAGED_HINT = "Copy it again, or recover it: rosbag reindex (ROS 1), ros2 bag reindex, mcap recover."


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What the bag announces: the type of the topic's messages (`sensor_msgs/msg/Image`) and their number."""

    type: str
    num_messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bag:
    """An open bag."""

    path: Path
    topics: Mapping[str, Topic]
    reader: "AnyReader"

    def topic(self, name: str) -> Topic:
        """The topic with that name. Raises SourceError, listing those that are there, or for an unknown type."""
        if name not in self.topics:
            what = f"there is no topic {name!r}; topics there: {self.listed()}."
            raise SourceError(what, path=self.path, hint="Choose with --topics or --camera NAME=TOPIC.")
        topic = self.topics[name]
        if not topic.num_messages:
            what = f"topic {name} has no messages; topics there: {self.listed()}."
            raise SourceError(what, path=self.path, hint="Leave it out, or record it.")
        if topic.type not in self.reader.typestore.types:
            what = f"topic {name} has messages of {topic.type}, which this bag does not define."
            raise SourceError(what, path=self.path, hint="Record with the definitions: MCAP has them, also ROS 1 bags.")
        return topic

    def listed(self) -> str:
        """All topics with their types and numbers of messages, for messages."""
        names = (f"{name} ({topic.type}, {topic.num_messages})" for name, topic in sorted(self.topics.items()))
        return ", ".join(names) or "none"

    def messages(
        self, topics: Collection[str], *, start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[str, int, bytes]]:
        """Gives the topic, the nanosecond of receipt and the bytes of each message received in [start, stop).

        Raises:
            SourceError: the bag is damaged there.
        """
        connections = [connection for connection in self.reader.connections if connection.topic in topics]
        with _reading(self.path):
            messages = self.reader.messages(connections, start=start, stop=stop)
        while True:
            with _reading(self.path):
                found = next(messages, None)
            if found is None:
                return
            connection, nanoseconds, data = found
            yield connection.topic, nanoseconds, data

    def read(self, topic: str, data: bytes) -> Any:
        """The message in these bytes. Raises SourceError where they are not of the topic's type."""
        with _reading(self.path, topic=topic):
            return self.reader.deserialize(data, self.topics[topic].type)


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """Opens a bag.

    Raises:
        SourceError: it is missing, empty, cut off, damaged or of another kind.
        VpdataError: rosbags is not installed.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        what = f"the package rosbags is needed for bags ({error})."
        raise VpdataError(what, path=path, hint="Install it: pip install 'vpdata[ros]'.") from error
    if not path.exists():
        raise SourceError("there is no such file or folder.", path=path, hint="Check the path.")
    for part in [path] if path.is_file() else sorted(path.iterdir()):
        _check_length(part)
    with _reading(path):
        # ROS 2 wrote no definitions into SQLite before Iron; those of standard messages are Humble's.
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    try:
        with _reading(path):
            found = {name: (info.msgtype, info.msgcount) for name, info in reader.topics.items()}
        if mixed := [name for name, (kind, _) in found.items() if kind is None]:
            raise SourceError(f"topic {mixed[0]} has messages of several types.", path=path, hint="Record them apart.")
        topics = {name: Topic(type=str(kind), num_messages=count) for name, (kind, count) in found.items()}
        yield Bag(path=path, topics=topics, reader=reader)
    finally:
        reader.close()


def _check_length(path: Path) -> None:
    """Raises SourceError for an SQLite file whose last page is cut: SQLite would read zeros there."""
    if path.suffix != ".db3":
        return
    with path.open("rb") as file:
        header = file.read(SQLITE_HEADER_BYTES)
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    if len(header) < SQLITE_HEADER_BYTES or not page_bytes or path.stat().st_size % page_bytes:
        raise SourceError("this is no whole SQLite file: it was cut off.", path=path, hint=DAMAGED_HINT)


@contextmanager
def _reading(path: Path, *, topic: str | None = None) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        text = str(error) or type(error).__name__
        hint = next((hint for sign, hint in HINTS.items() if sign in text), DAMAGED_HINT)
        where = "" if topic is None else f" at a message of {topic}"
        raise SourceError(f"the bag does not read{where} ({text.rstrip('.')}).", path=path, hint=hint) from error
