"""Bags: what was recorded comes back, from every kind of bag, in step, and only what was asked for is mended.

Frames are identified by their pixels and rows by their values, so what is tested is what was seen and done when.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import bags
import numpy as np
import pytest
from bags import Message, drive, write_mcap, write_ros1, write_ros2
from reading import describe, episodes, numbers_of, read
from takes import Images, originals
from typer.testing import CliRunner

from vpdata import sources, spaces
from vpdata.cli.app import app
from vpdata.errors import SourceError
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions

NUM_FRAMES = 30
SECONDS = [round(0.05 * i, 3) for i in range(NUM_FRAMES)]
ALL = list(range(NUM_FRAMES))
CAMERAS = '[cameras]\nwrist = "/wrist"\nfront = "/front"\n'
STATE = '[[state]]\ntopic = "/joint_states"\nfields = { lift = "position[lift]", elbow = "position[elbow]" }\n'
ACTION = '[[action]]\ntopic = "/command"\nstamps = "receive"\nfields = { seconds = "data[1]", number = "data[0]" }\n'
TOPICS = CAMERAS + STATE + ACTION


def options(topics: str = TOPICS, *, resample: bool = False, tolerance_seconds: float | None = None) -> SourceOptions:
    return SourceOptions(topics=topics, resample=resample, tolerance_seconds=tolerance_seconds)


@pytest.fixture(scope="module")
def frames(recordings: Path) -> dict[str, Images]:
    return {name: shown[:NUM_FRAMES] for name, shown in originals(recordings).items()}


def parts(
    path: Path, frames: Mapping[str, Images], given: SourceOptions
) -> list[tuple[dict[str, list[int]], list[float], list[int]]]:
    """For every episode of a bag: per camera which original each frame is, times of states, numbers of actions."""
    found = []
    for episode in episodes("ros", path, given):
        shown, actions, state = read("ros", path, episode, given)
        numbers = {name: numbers_of(images, frames[name]) for name, images in shown.items()}
        rows = [] if state is None else [round(float(value), 4) for value in state[:, 0]]  # type: ignore[arg-type]
        steps = [] if actions is None else [int(value) for value in actions[:, 1]]  # type: ignore[arg-type]
        found.append((numbers, rows, steps))
    return found


def refuse(path: Path, given: SourceOptions) -> str:
    with pytest.raises(SourceError) as caught:
        describe("ros", path, given)
    assert caught.value.hint
    return str(caught.value)


# --- What was recorded ----------------------------------------------------------------------------------------------

WRITERS: Mapping[str, Callable[[Path, Sequence[Message]], Path]] = {
    "ros1.bag": write_ros1,
    "ros1_bz2.bag": lambda path, messages: write_ros1(path, messages, compression="bz2"),
    "ros1_lz4.bag": lambda path, messages: write_ros1(path, messages, compression="lz4"),
    "sqlite": lambda path, messages: write_ros2(path, messages, storage="sqlite3"),
    "sqlite_file": lambda path, messages: write_ros2(path, messages, storage="sqlite3", compression="file"),
    "sqlite_message": lambda path, messages: write_ros2(path, messages, storage="sqlite3", compression="message"),
    "mcap": write_ros2,
    "mcap_zstd": lambda path, messages: write_ros2(path, messages, compression="storage"),
    "plain.mcap": lambda path, messages: write_mcap(path, messages, compression="NONE"),
    "zstd.mcap": lambda path, messages: write_mcap(path, messages, compression="ZSTD"),
    "lz4.mcap": lambda path, messages: write_mcap(path, messages, compression="LZ4"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_bag_gives_back_what_was_recorded(name: str, frames: dict[str, Images], tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, drive(frames, seconds=SECONDS))
    for given in (options(), options(resample=True)):
        assert parts(path, frames, given) == [({"wrist": ALL, "front": ALL}, SECONDS, ALL)]
    (episode,) = episodes("ros", tmp_path, options())
    assert (episode.file, episode.episode_id, episode.fps) == (name, name.removesuffix(path.suffix), 20.0)
    assert (episode.action_space, episode.state_space) == ("action:seconds,number", "state:lift,elbow")
    assert (episode.attributes["stamps"], episode.attributes["resampled"]) == ("header", False)


def test_bags_are_found_in_natural_order_and_their_parts_are_not(frames: dict[str, Images], tmp_path: Path) -> None:
    messages = drive(frames, seconds=SECONDS[:3])
    write_ros2(tmp_path / "run_10", messages)
    write_ros2(tmp_path / "run_2", messages)
    (tmp_path / "day").mkdir()
    write_ros1(tmp_path / "day" / "one.bag", messages)
    (tmp_path / ".trash").mkdir()
    write_mcap(tmp_path / ".trash" / "old.mcap", messages)
    assert [file.name for file in sources.load("ros").find(tmp_path)] == ["day/one.bag", "run_2", "run_10"]
    assert [file.name for file in sources.load("ros").find(tmp_path / "run_2")] == ["run_2"]
    moved = (tmp_path / "run_2").rename(tmp_path / "elsewhere")
    assert episodes("ros", moved, options())[0].content_digest == digest_of(tmp_path / "elsewhere")


def digest_of(path: Path, topics: str = TOPICS) -> str:
    return episodes("ros", path, options(topics))[0].content_digest


def test_what_is_read_decides_the_digest_and_comments_do_not(frames: dict[str, Images], tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(frames, seconds=SECONDS))
    digest = digest_of(path)
    assert digest_of(path.rename(tmp_path / "b.mcap")) == digest
    assert digest_of(tmp_path / "b.mcap", "# as agreed\n" + TOPICS) == digest
    for other in (
        TOPICS.replace("data[1]", "data[0]"),
        'stamps = "receive"\n' + TOPICS,
        TOPICS.replace("lift =", "a ="),
    ):
        assert digest_of(tmp_path / "b.mcap", other) != digest


def test_cameras_alone_are_action_free(frames: dict[str, Images], tmp_path: Path) -> None:
    path = write_ros1(tmp_path / "a.bag", drive(frames, seconds=SECONDS))
    given = SourceOptions(cameras={"hand": "/wrist"}, instruction="lift it", fps=20)
    (episode,) = episodes("ros", path, given)
    assert (episode.num_actions, episode.action_space, episode.state_space) == (0, None, None)
    assert [(camera.name, camera.recorded_name) for camera in episode.cameras] == [("hand", "/wrist")]
    assert episode.instructions == ("lift it",)
    assert parts(path, {"hand": frames["wrist"]}, given) == [({"hand": ALL}, [], [])]


def test_ranges_may_overlap(frames: dict[str, Images], tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(frames, seconds=SECONDS))
    plugin = sources.load("ros")
    (file,), (episode,) = plugin.find(path), episodes("ros", path, options())
    with plugin.open(file, episode, options()) as reader:
        for start, stop in ((0, 12), (8, 20), (0, 1), (29, 30)):
            shown = np.stack(list(reader.frames("front", start, stop)))
            np.testing.assert_array_equal(shown, frames["front"][start:stop])
        assert list(reader.frames("front", 5, 5)) == []
        with pytest.raises(IndexError):
            list(reader.frames("front", 5, 31))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
@pytest.mark.parametrize("padding", [0, 5])
def test_raw_images(encoding: str, padding: int, frames: dict[str, Images], tmp_path: Path) -> None:
    messages = drive(frames, seconds=SECONDS[:4], encode=lambda frame: bags.raw(frame, encoding, padding=padding))
    for path in (write_ros1(tmp_path / "a.bag", messages), write_mcap(tmp_path / "b.mcap", messages)):
        ((shown, _, _),) = parts(path, frames, options())
        assert shown == {"wrist": [0, 1, 2, 3], "front": [0, 1, 2, 3]}


def test_grey_images_are_grey_in_all_channels(frames: dict[str, Images], tmp_path: Path) -> None:
    messages = drive(frames, seconds=SECONDS[:4], encode=lambda frame: bags.raw(frame, "mono8", padding=1))
    path = write_ros2(tmp_path / "a", messages)
    shown, _, _ = read("ros", path, episodes("ros", path, options())[0], options())
    np.testing.assert_array_equal(shown["front"], np.repeat(frames["front"][:4, ..., :1], 3, axis=3))


@pytest.mark.parametrize(
    "text",
    ["jpeg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed rgb8", "bgr8; jpeg"],
)
def test_jpegs_have_their_true_colours(text: str, frames: dict[str, Images], tmp_path: Path) -> None:
    messages = drive(frames, seconds=SECONDS[:4], encode=lambda frame: bags.compressed(frame, text))
    path = write_mcap(tmp_path / "a.mcap", messages)
    shown, _, _ = read("ros", path, episodes("ros", path, options())[0], options())
    for name, images in shown.items():
        error = np.abs(images.astype(int) - frames[name][:4]).mean()
        swapped = np.abs(images[..., ::-1].astype(int) - frames[name][:4]).mean()
        assert 2 * error < swapped


def test_poses_twists_and_fields_in_the_order_of_a_space(frames: dict[str, Images], tmp_path: Path) -> None:
    messages = drive(frames, seconds=SECONDS)
    for i, second in enumerate(SECONDS):
        vector = {"x": float(i), "y": 0.0, "z": -1.0}
        pose = {"position": vector, "orientation": {**vector, "w": 1.0}}
        twist = {"linear": vector, "angular": {"x": 0.5, "y": 0.25, "z": float(-i)}}
        messages.append(bags.message("/hand", "geometry_msgs/msg/PoseStamped", second, {"pose": pose}))
        messages.append(bags.message("/arm", "geometry_msgs/msg/TwistStamped", second, {"twist": twist}))
        messages.append(
            bags.message("/grip", "std_msgs/msg/Float64MultiArray", second, bags.numbers(1 - i), has_header=False)
        )
    path = write_ros2(tmp_path / "a", sorted(messages, key=lambda one: one.received), storage="sqlite3")
    space = spaces.load("osc_pose_action").names
    told = dict(zip(space, ["linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z"], strict=False))
    fields = ", ".join(f'{name} = "twist.{field}"' for name, field in reversed(told.items()))
    topics = (
        'action_space = "osc_pose_action"\n' + CAMERAS + '[[state]]\ntopic = "/hand"\n'
        'fields = { w = "pose.orientation.w", x = "pose.position.x" }\n'
        f'[[action]]\ntopic = "/grip"\nstamps = "receive"\nfields = {{ {space[6]} = "data[0]" }}\n'
        f'[[action]]\ntopic = "/arm"\nfields = {{ {fields} }}\n'
    )
    (episode,) = episodes("ros", path, options(topics))
    _, actions, state = read("ros", path, episode, options(topics))
    assert (episode.action_space, episode.state_space) == ("osc_pose_action", "state:w,x")
    assert actions is not None
    assert state is not None
    np.testing.assert_array_equal(actions[3], [3, 0, -1, 0.5, 0.25, -3, -2])
    np.testing.assert_array_equal(state[:, 1], ALL)


# --- One clock ------------------------------------------------------------------------------------------------------


def test_a_faster_state_is_taken_where_it_is_nearest(frames: dict[str, Images], tmp_path: Path) -> None:
    fast = [round(0.003 + 0.01 * i, 3) for i in range(-2, 160)]
    path = write_ros1(tmp_path / "a.bag", drive(frames, seconds=SECONDS, state_seconds=fast))
    assert "state /joint_states runs at 100 rows a second, the clock at 20" in refuse(path, options())
    nearest = [min(fast, key=lambda one: abs(one - second)) for second in SECONDS]
    assert parts(path, frames, options(resample=True)) == [({"wrist": ALL, "front": ALL}, nearest, ALL)]
    (episode,) = episodes("ros", path, options(resample=True))
    assert (episode.attributes["resampled"], episode.attributes["max_time_error_seconds"]) == (True, 0.0)


def test_a_lost_frame_makes_two_pieces_or_is_bridged(frames: dict[str, Images], tmp_path: Path) -> None:
    messages = [one for one in drive(frames, seconds=SECONDS) if (one.topic, one.stamp) != ("/front", bags.at(0.5))]
    path = write_ros2(tmp_path / "a", messages, storage="sqlite3")
    assert "camera front misses frames after frame 9 (0.450 s; the next is 0.100 s later)" in refuse(path, options())
    found = parts(path, frames, options(resample=True))
    assert [shown["front"] for shown, _, _ in found] == [ALL[:10], ALL[11:]]
    assert [steps for _, _, steps in found] == [ALL[:10], ALL[11:]]
    described = episodes("ros", path, options(resample=True))
    assert [(episode.episode_id, episode.attributes["num_parts"]) for episode in described] == [
        ("a_part0", 2),
        ("a_part1", 2),
    ]
    given = options(resample=True, tolerance_seconds=0.05)
    ((shown, _, _),) = parts(path, frames, given)
    assert shown == {"wrist": ALL, "front": [*ALL[:10], 9, *ALL[11:]]}
    assert episodes("ros", path, given)[0].attributes["num_repeated_frames"] == 1


def test_frames_half_way_between_ticks_are_refused(frames: dict[str, Images], tmp_path: Path) -> None:
    """Every one is within the tolerance, but a millisecond of drift changes which one is nearest."""
    messages = bags.moved(drive(frames, seconds=SECONDS), "/front", 0.0245)
    early = [one for one in messages if one.received < bags.at(0.7)]
    late = bags.moved([one for one in messages if one.received >= bags.at(0.7)], "/front", 0.001)
    path = write_ros1(tmp_path / "a.bag", early + late)
    assert "(1) camera front lies half way between ticks, so that which frame belongs to a tick" in refuse(
        path, options()
    )
    ((shown, _, _),) = parts(path, frames, options(resample=True))
    assert shown["front"] == [*ALL[:14], *ALL[13:-1]]


def test_stamps_say_what_was_seen_when_and_receipt_does_not(frames: dict[str, Images], tmp_path: Path) -> None:
    """The front camera's pictures are 100 ms old when they arrive."""
    path = write_mcap(tmp_path / "a.mcap", bags.moved(drive(frames, seconds=SECONDS), "/front", -0.1))
    assert "camera front starts 0.100 s before camera wrist" in refuse(path, options())
    ((shown, _, _),) = parts(path, frames, options(resample=True))
    assert shown == {"wrist": ALL[:-2], "front": ALL[2:]}
    ((shown, _, _),) = parts(path, frames, options('stamps = "receive"\n' + TOPICS))
    assert shown == {"wrist": ALL, "front": ALL}


@pytest.mark.parametrize("delay", [-0.012, 0.0, 0.012, 0.024, 0.037])
def test_a_step_answers_the_frame_before_it(delay: float, frames: dict[str, Images], tmp_path: Path) -> None:
    """Steps come up to a quarter of a period early or three quarters late, and are each done once."""
    told = [second + delay - bags.LATENCY / 1e9 for second in SECONDS]
    path = write_ros1(tmp_path / "a.bag", drive(frames, seconds=SECONDS, action_seconds=told))
    for given in (options(), options(resample=True)):
        assert parts(path, frames, given) == [({"wrist": ALL, "front": ALL}, SECONDS, ALL)]


def test_a_lost_step_ends_the_piece_and_another_rate_is_refused(frames: dict[str, Images], tmp_path: Path) -> None:
    told = [second for second in SECONDS if second != 0.5]
    path = write_ros1(tmp_path / "a.bag", drive(frames, seconds=SECONDS, action_seconds=told))
    assert "action /command (less 0.012 s) misses rows after row 9" in refuse(path, options())
    found = parts(path, frames, options(resample=True, tolerance_seconds=0.2))
    assert [(shown["wrist"], steps) for shown, _, steps in found] == [(ALL[:10], ALL[:10]), (ALL[11:], ALL[10:-1])]
    given = SourceOptions(topics=TOPICS, resample=True, fps=10)
    assert "20 actions a second are not resampled to 10" in refuse(path, given)


def test_an_action_that_holds_is_the_one_in_force(frames: dict[str, Images], tmp_path: Path) -> None:
    told = [round(0.02 + 0.1 * i, 3) for i in range(15)]
    path = write_ros1(tmp_path / "a.bag", drive(frames, seconds=SECONDS, action_seconds=told))
    ((shown, _, steps),) = parts(path, frames, options("actions_hold = true\n" + TOPICS, resample=True))
    received = [second + bags.LATENCY / 1e9 for second in told]
    in_force = [sum(one <= SECONDS[frame] + 0.025 for one in received) - 1 for frame in shown["wrist"]]
    assert shown["wrist"] == ALL[1:]  # the first was seen before anything was said
    assert steps == in_force


def test_the_rate_is_said_or_that_of_the_first_camera(frames: dict[str, Images], tmp_path: Path) -> None:
    path = write_ros1(tmp_path / "a.bag", drive(frames, seconds=SECONDS))
    ((shown, rows, _),) = parts(path, frames, options("fps = 10\n" + CAMERAS + STATE, resample=True))
    assert (shown["wrist"], rows) == ([*ALL[::2], 29], [*SECONDS[::2], SECONDS[29]])
    assert "runs at 20 frames a second, the clock at 10" in refuse(path, options("fps = 10\n" + CAMERAS + STATE))
    one = write_ros1(tmp_path / "one.bag", drive(frames, seconds=SECONDS[:1]))
    assert "shows one moment and so no rate. Say it with --fps" in refuse(one, options(CAMERAS))


# --- As a data set --------------------------------------------------------------------------------------------------


def test_ingest_by_command(frames: dict[str, Images], tmp_path: Path) -> None:
    (tmp_path / "bags" / "pick").mkdir(parents=True)
    write_ros2(tmp_path / "bags" / "pick" / "run_0", drive(frames, seconds=SECONDS))
    (tmp_path / "topics.toml").write_text(TOPICS)
    out = tmp_path / "out"
    command = ["ingest", "ros", str(tmp_path / "bags"), "--out", str(out), "--workers", "1", "--codec", "ffv1"]
    made = CliRunner().invoke(app, [*command, "--topics", str(tmp_path / "topics.toml")])
    assert made.exit_code == 0, made.output
    dataset = Dataset.open(out)
    (clip,) = dataset.clips
    assert (clip.episode.file, clip.episode.task, clip.num_actions) == ("pick/run_0", "pick", NUM_FRAMES)
    np.testing.assert_array_equal(dataset.frames(clip, "wrist", ALL), frames["wrist"])
    options_kept = json.loads((out / "manifest.json").read_text())["options"]
    assert options_kept["topics"]["cameras"] == {"wrist": "/wrist", "front": "/front"}
    (tmp_path / "topics.toml").write_text("# only a comment\n" + TOPICS)
    again = CliRunner().invoke(app, [*command, "--topics", str(tmp_path / "topics.toml")])
    assert "is up to date" in again.output
    missing = CliRunner().invoke(app, [*command, "--topics", str(tmp_path / "no.toml")])
    assert (missing.exit_code, "does not read as text" in str(missing.exception)) == (1, True)
    other = CliRunner().invoke(
        app, ["ingest", "video", "x", "--out", str(out), "--topics", str(tmp_path / "topics.toml")]
    )
    assert (other.exit_code, "only the source ros reads --topics" in str(other.exception)) == (1, True)


READ_ALL = """
import re, sys
from pathlib import Path
from vpdata import sources
from vpdata.sources import SourceOptions
plugin, options = sources.load("ros"), SourceOptions(cameras={"wrist": "/wrist"})
(file,) = plugin.find(Path(sys.argv[1]))
(episode,) = plugin.episodes(file, options)
with plugin.open(file, episode, options) as reader:
    count = sum(1 for _ in reader.frames("wrist", 0, episode.num_frames))
print(count, re.search(r"VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize("write", [write_ros1, write_ros2])
def test_memory_does_not_grow_with_the_bag(
    write: Callable[[Path, Sequence[Message]], Path], frames: dict[str, Images], tmp_path: Path
) -> None:
    peaks = {}
    for num_frames in (4, 120):
        kind = "sensor_msgs/msg/Image"
        big = [np.tile(frames["wrist"][i % NUM_FRAMES], (6, 8, 1)) for i in range(num_frames)]
        messages = [bags.message("/wrist", kind, i / 20, bags.raw(frame)) for i, frame in enumerate(big)]
        path = write(tmp_path / f"{num_frames}.bag" if write is write_ros1 else tmp_path / str(num_frames), messages)
        done = subprocess.run([sys.executable, "-c", READ_ALL, path], capture_output=True, text=True, check=True)
        count, peak = map(int, done.stdout.split())
        assert count == num_frames
        peaks[num_frames] = peak * 1024
    bag_bytes = 120 * 6 * 8 * frames["wrist"][0].nbytes
    assert bag_bytes > 60 * 2**20
    assert peaks[120] - peaks[4] < bag_bytes / 4
