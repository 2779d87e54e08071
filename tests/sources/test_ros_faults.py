"""Bags that are damaged, incomplete or not what the topics say: every fault is named, with the bag and what to do."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import bags
import numpy as np
import pytest
from bags import Message, drive, write_mcap, write_ros1, write_ros2
from reading import describe, episodes, read
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.typesys import Stores, get_typestore
from takes import Images, originals

from vpdata.errors import SourceError, VpdataError
from vpdata.sources import SourceOptions
from vpdata.sources.ros_topics import read_topics

SECONDS = [round(0.05 * i, 3) for i in range(12)]
TOPICS = """
[cameras]
wrist = "/wrist"
front = "/front"
[[state]]
topic = "/joint_states"
fields = { lift = "position[lift]" }
[[action]]
topic = "/command"
stamps = "receive"
fields = { number = "data[0]" }
"""
OPTIONS = SourceOptions(topics=TOPICS)


@pytest.fixture(scope="module")
def frames(recordings: Path) -> dict[str, Images]:
    return {name: shown[: len(SECONDS)] for name, shown in originals(recordings).items()}


@pytest.fixture(scope="module")
def messages(frames: Mapping[str, Images]) -> list[Message]:
    return drive(frames, seconds=SECONDS)


def refuse(path: Path, topics: str = TOPICS) -> str:
    with pytest.raises(SourceError) as caught:
        describe("ros", path, SourceOptions(topics=topics))
    assert caught.value.hint
    return str(caught.value)


# --- Damage ---------------------------------------------------------------------------------------------------------

WRITERS: Mapping[str, Callable[[Path, Sequence[Message]], Path]] = {
    "a.bag": write_ros1,
    "bz2.bag": lambda path, messages: write_ros1(path, messages, compression="bz2"),
    "sqlite/sqlite.db3": lambda path, messages: write_ros2(path.parent, messages, storage="sqlite3"),
    "mcap/mcap.mcap": lambda path, messages: write_ros2(path.parent, messages),
    "zstd.mcap": write_mcap,
}
all_writers = pytest.mark.parametrize("name", WRITERS)


@all_writers
def test_a_bag_that_was_cut_off(name: str, messages: list[Message], tmp_path: Path) -> None:
    path = tmp_path / name
    bag = WRITERS[name](path, messages)
    whole = path.read_bytes()
    for length in [0, 1, 7, *(len(whole) * k // 23 for k in range(1, 23)), len(whole) - 9, len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert str(bag) in refuse(bag)


@all_writers
def test_flipped_bits_are_an_error_or_do_not_crash(
    name: str, messages: list[Message], frames: Mapping[str, Images], tmp_path: Path
) -> None:
    path = tmp_path / name
    bag = WRITERS[name](path, messages)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    num_found = 0
    for place in random.integers(0, len(whole), 14):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            (episode,) = episodes("ros", bag, OPTIONS)
            shown, _, _ = read("ros", bag, episode, OPTIONS)
        except VpdataError:
            num_found += 1
        else:
            if path.suffix == ".mcap" and bag.is_file():  # chunks have checksums
                assert all((shown[camera] == frames[camera]).all() for camera in frames)
    assert num_found > 7  # PNG has checksums, too


def test_a_bag_without_an_index(messages: list[Message], tmp_path: Path) -> None:
    """As a recorder leaves it that was killed: the bag header says that the index is at 0."""
    path = write_ros1(tmp_path / "a.bag", messages)
    data = path.read_bytes()
    place = data.index(b"index_pos=") + len(b"index_pos=")
    path.write_bytes(data[:place] + bytes(8) + data[place + 8 :])
    assert "not indexed, reindex before reading). Index it: rosbag reindex FILE." in refuse(path)
    cut = write_mcap(tmp_path / "b.mcap", messages)
    cut.write_bytes(cut.read_bytes()[:-2000])
    assert "mcap recover FILE" in refuse(cut)


def test_a_killed_recorder(tmp_path: Path) -> None:
    """A process that is killed while it writes MCAP leaves a file without an end."""
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2]); import bags, numpy as np\n"
        "from mcap.writer import Writer\n"
        "Writer.finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "frames = {'wrist': np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)}\n"
        "from pathlib import Path\n"
        "bags.write_mcap(Path(sys.argv[1]), bags.drive(frames, seconds=[i / 20 for i in range(9)]))\n"
    )
    path = tmp_path / "killed.mcap"
    done = subprocess.run([sys.executable, "-c", code, path, Path(__file__).parent], check=False)
    assert done.returncode == -9
    assert "mcap recover FILE" in refuse(path)


def test_files_that_are_no_bags(tmp_path: Path) -> None:
    (tmp_path / "a.bag").write_text("this is no bag")
    (tmp_path / "b.mcap").write_text("this is no bag")
    (tmp_path / "c.db3").write_text("this is no bag")
    for name in ("a.bag", "b.mcap", "c.db3"):
        assert re.search("the bag does not read|no whole SQLite file", refuse(tmp_path / name))
    (tmp_path / "d.txt").write_text("this is no bag")
    assert "Give a .bag, .mcap or .db3 file" in refuse(tmp_path / "d.txt")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 5}")
    assert "A metadata key is missing" in refuse(tmp_path / "folder")
    with pytest.raises(SourceError, match="no such file or folder"):
        describe("ros", tmp_path / "nowhere")


def test_messages_that_are_announced_and_not_there(messages: list[Message], tmp_path: Path) -> None:
    whole = write_ros2(tmp_path / "whole", messages, storage="sqlite3")
    less = write_ros2(tmp_path / "less", messages[:-7], storage="sqlite3")
    shutil.copy(less / "less.db3", whole / "whole.db3")
    assert re.search(r"12 messages of /\w+ are announced, and \d+ are there\.", refuse(whole))


def test_bags_without_definitions_have_the_standard_messages(
    messages: list[Message], frames: Mapping[str, Images], tmp_path: Path
) -> None:
    """Before Iron, ROS 2 wrote no definitions into SQLite."""
    whole = write_ros2(tmp_path / "whole", messages, storage="sqlite3")
    path = Path(shutil.copy(whole / "whole.db3", tmp_path / "alone.db3"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM message_definitions")
    (episode,) = episodes("ros", path, OPTIONS)
    np.testing.assert_array_equal(read("ros", path, episode, OPTIONS)[0]["front"], frames["front"])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE topics SET type = 'my_arm/msg/Command' WHERE name = '/command'")
    assert "topic /command has messages of my_arm/msg/Command, which this bag does not define" in refuse(path)


def test_a_topic_of_several_types(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    with Rosbag1Writer(tmp_path / "a.bag") as writer:
        for kind in ("std_msgs/msg/Int8", "std_msgs/msg/UInt8"):
            connection = writer.add_connection("/number", kind, typestore=store)
            writer.write(connection, bags.START, b"\0")
    assert "topic /number has messages of several types" in refuse(tmp_path / "a.bag")


def test_a_ros1_profile_in_mcap_is_refused(messages: list[Message], tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", messages)
    path.write_bytes(path.read_bytes().replace(b"\x04\x00\x00\x00ros2", b"\x04\x00\x00\x00ros1", 1))
    assert "Only MCAP files of ROS 2 are read" in refuse(path)


# --- Topics and messages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"/wrist"',
            '"/wirst"',
            "there is no topic '/wirst'; topics there: /command (std_msgs/msg/Float64MultiArray, 12)",
        ),
        (
            '"/wrist"',
            '"/joint_states"',
            "camera 'wrist' is to come from /joint_states, which has sensor_msgs/msg/JointSt",
        ),
        ("position[lift]", "position[lfit]", "'position[lfit]': there is no entry 'lfit'; names there: lift, elbow."),
        ("position[lift]", "position[2]", "there is no entry 2; 2 are there"),
        ("position[lift]", "velocity[lift]", "'velocity[lift]': there is no entry"),
        (
            "position[lift]",
            "positions[lift]",
            "there is no 'positions'; fields there: header, name, position, velocity",
        ),
        ("position[lift]", "position", "'position' is no number but ndarray"),
        ("position[lift]", "header.frame_id", "'header.frame_id' is no number but str"),
        ('stamps = "receive"', "", "Float64MultiArray of /command has no header, and so no stamp. Say stamps = "),
        ("[cameras]", "[cameras]\ntop = '/none'", "there is no topic '/none'"),
    ],
)
def test_topics_that_the_bag_does_not_have(
    old: str, new: str, message: str, messages: list[Message], tmp_path: Path
) -> None:
    path = write_mcap(tmp_path / "a.mcap", messages)
    assert message in refuse(path, TOPICS.replace(old, new))


def test_no_camera_is_chosen_by_chance(messages: list[Message], tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", messages)
    message = refuse(path, "")
    assert (
        "no camera is chosen; topics there: /command (std_msgs/msg/Float64MultiArray, 12), /front (sensor_msgs"
        in message
    )
    assert "Choose with --camera NAME=TOPIC" in message


def test_zero_stamps_and_a_clock_that_jumps_back(messages: list[Message], tmp_path: Path) -> None:
    zeros = [replace(one, stamp=0) if one.topic == "/front" and i % 2 else one for i, one in enumerate(messages)]
    count = sum(one.stamp == 0 for one in zeros)
    message = refuse(write_ros1(tmp_path / "zeros.bag", zeros))
    assert f"{count} of 12 stamps of /front are zero, first that of message" in message
    assert 'Say stamps = "receive"' in message
    back = [one for one in messages if one.received < bags.at(0.3)]
    back += bags.moved([one for one in messages if one.received >= bags.at(0.3)], "/front", -1.0)
    path = write_mcap(tmp_path / "back.mcap", back)
    assert (
        "camera front: time runs backward at frame 6, from 0.250000 s to -0.700000 s. This is not repaired"
        in refuse(path)
    )
    (episode,) = episodes("ros", path, SourceOptions(topics='stamps = "receive"\n' + TOPICS))
    assert (episode.num_frames, episode.attributes["stamps"]) == (12, "receive")


def test_a_clock_that_jumps_forward(messages: list[Message], tmp_path: Path) -> None:
    late = [one for one in messages if one.received < bags.at(0.3)]
    for topic in ("/front", "/wrist", "/joint_states"):
        late += [one for one in bags.moved(messages, topic, 5.0) if one.received >= bags.at(0.3) and one.topic == topic]
    path = write_mcap(tmp_path / "a.mcap", sorted(late, key=lambda one: one.received))
    assert "camera front misses frames after frame 5 (0.250 s; the next is 5.050 s later)" in refuse(
        path, TOPICS.split("[[action]]")[0]
    )


def test_images_that_are_not_read(frames: Mapping[str, Images], tmp_path: Path) -> None:
    raw, packed = bags.raw(frames["wrist"][0]), bags.compressed(frames["wrist"][0])
    kinds = {"format": "sensor_msgs/msg/CompressedImage", "encoding": "sensor_msgs/msg/Image"}
    for number, (body, message) in enumerate(
        [
            ({**raw, "encoding": "16UC1"}, "images are '16UC1', not rgb8, bgr8"),
            ({**raw, "step": 100}, "12288 bytes are no 64x64 image of rgb8 with rows of 100 bytes"),
            ({**raw, "data": raw["data"][:-1]}, "12287 bytes are no 64x64 image"),
            ({**raw, "height": 0, "data": raw["data"][:0]}, "0 bytes are no 0x64 image"),
            ({**packed, "format": "16UC1; compressedDepth"}, "the images are depth"),
            ({**packed, "data": packed["data"][:-900]}, "does not decode as JPEG or PNG"),
            ({**packed, "data": packed["data"][:0]}, "does not decode as JPEG or PNG"),
            ({"format": "h264", "data": packed["data"][9:]}, "the image ('h264') does not decode as JPEG or PNG"),
        ]
    ):
        kind = next(kind for name, kind in kinds.items() if name in body)
        path = write_ros1(tmp_path / f"{number}.bag", [bags.message("/wrist", kind, i / 20, body) for i in range(3)])
        with pytest.raises(SourceError) as caught:
            describe("ros", path, SourceOptions(cameras={"wrist": "/wrist"}))
        assert message in str(caught.value)
        assert "message 0 of /wrist" in str(caught.value)


def test_frames_of_another_size_and_broken_ones_are_named(frames: Mapping[str, Images], tmp_path: Path) -> None:
    kind, options = "sensor_msgs/msg/CompressedImage", SourceOptions(cameras={"wrist": "/wrist"})
    for name, body, what in [
        ("size", bags.compressed(frames["wrist"][0][:32]), "the frame is (32, 64), the first was (64, 64)"),
        ("cut", {**bags.compressed(frames["wrist"][0], "jpeg"), "data": np.zeros(5, np.uint8)}, "does not decode"),
    ]:
        bodies = [*(bags.compressed(frame) for frame in frames["wrist"][:5]), body]
        path = write_ros1(
            tmp_path / f"{name}.bag", [bags.message("/wrist", kind, i / 20, b) for i, b in enumerate(bodies)]
        )
        (episode,) = episodes("ros", path, options)
        with pytest.raises(SourceError) as caught:
            read("ros", path, episode, options)
        assert what in str(caught.value)
        assert "message 5 of /wrist" in str(caught.value)


def test_numbers_that_are_none(messages: list[Message], tmp_path: Path) -> None:
    broken = list(messages)
    place = next(i for i, one in enumerate(messages) if one.topic == "/command" and one.body["data"][0] == 4)
    broken[place] = replace(messages[place], body=bags.numbers(np.nan))
    assert "message 4 of /command: 'data[0]' is nan." in refuse_without_hint(write_ros1(tmp_path / "a.bag", broken))


def refuse_without_hint(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        describe("ros", path, OPTIONS)
    return str(caught.value)


# --- The file of --topics -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cameras = ", "this is not TOML"),
        ("camera = 1", "there is a key 'camera'; keys are stamps, fps, actions_hold"),
        ('stamps = "arrival"', "'stamps' is 'arrival', not \"header\" or \"receive\""),
        ("fps = 0", "'fps' is 0, not a number above zero"),
        ("fps = nan", "'fps' is nan, not a number above zero"),
        ("actions_hold = 1", "'actions_hold' is 1, not true or false"),
        ("[cameras]", "'cameras' is {}, not a table of NAME"),
        ('[cameras]\nTop = "/a"', "camera name 'Top' is not [a-z0-9_]+"),
        ('[state]\ntopic = "/a"', "not written as [[state]]"),
        ('[[state]]\ntopic = "/a"', "[[state]] number 1: 'fields' is missing"),
        ('[[state]]\ntopic = "/a"\nfields = ["x"]', "[[state]] number 1: 'fields' is ['x'], not a table of DIMENSION"),
        ('[[state]]\ntopic = "/a"\nfields = { x = "data[" }', "'data[' is no field"),
        ('[[state]]\ntopic = "/a"\nfields = { x = "a..b" }', "'a..b' is no field"),
        ('[[state]]\ntopic = "/a"\nfields = { "x,y" = "a" }', "dimension 'x,y' is not"),
        ('[[state]]\ntopic = "/a"\nfields = { x = "a" }\n[[state]]\ntopic = "/a"\nfields = { y = "b" }', "twice"),
        ('[[state]]\ntopic = "/a"\nfields = { x = "a" }\n[[state]]\ntopic = "/b"\nfields = { x = "b" }', "comes twice"),
        ('action_space = "aloha"', "there is no action or state space 'aloha'"),
        ('action_space = "aloha_action"', "action dimensions are none; aloha_action is a action space of left_waist"),
        ('state_space = "aloha_action"', "state dimensions are none; aloha_action is a action space of left_waist"),
    ],
)
def test_broken_topics(text: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_topics(text)
    assert message in str(caught.value)
    assert caught.value.hint


def test_names_with_dots_and_slashes_stand_in_brackets() -> None:
    topics = read_topics(
        '[[state]]\ntopic = "/a"\nfields = { x = "arm.position[left.arm/joint_1]", y = "points[0].x" }'
    )
    assert [field.steps for field in topics.state[0].fields] == [
        (("arm", None), ("position", "left.arm/joint_1")),
        (("points", 0), ("x", None)),
    ]


def test_the_example_in_the_docs() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "SOURCES.md").read_text()
    topics = read_topics(docs.split("```toml\n")[1].split("```")[0])
    assert list(topics.cameras) == ["wrist", "front"]
    assert (topics.state_space, topics.action_space) == ("state:joint_1,joint_2", "action:joint_1,joint_2")
    assert [one.stamps for one in (*topics.state, *topics.action)] == ["header", "receive"]
