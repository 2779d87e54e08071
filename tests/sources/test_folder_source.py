"""Plain folders: what was recorded comes back, and every fault of time is named, and mended only as asked.

Frames are identified by their pixels and rows by their values, so what is tested is what was seen and done when.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import describe, episodes, read
from takes import NUM_FRAMES, REGULAR, Images, originals, read_parts, write_csv, write_table, write_video
from typer.testing import CliRunner

from vpdata import sources, spaces
from vpdata.cli.app import app
from vpdata.errors import SourceError
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions

RESAMPLE = SourceOptions(resample=True)
ALL = list(range(NUM_FRAMES))


@pytest.fixture(scope="module")
def frames(recordings: Path) -> dict[str, Images]:
    return originals(recordings)


@pytest.fixture(scope="module")
def regular(frames: Mapping[str, Images], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in step, to be copied."""
    folder = tmp_path_factory.mktemp("folder") / "stack" / "take"
    folder.mkdir(parents=True)
    for camera, shown in frames.items():
        write_video(folder / f"{camera}.mkv", list(shown), REGULAR)
    write_table(folder / "data.csv", REGULAR)
    return folder


@pytest.fixture
def take(regular: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(regular, tmp_path / "stack" / "take"))


def refuse(path: Path, options: SourceOptions = SourceOptions()) -> str:  # noqa: B008
    with pytest.raises(SourceError) as caught:
        describe("folder", path, options)
    assert caught.value.hint
    return str(caught.value)


# --- What was recorded ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "num_frames"), [("demo_0", 123), ("demo_1", 135)])
def test_the_recording_comes_back(recordings: Path, name: str, num_frames: int) -> None:
    """CSV with mp4, and Parquet with Matroska and a camera's own times, hold what the simulator's file holds."""
    (episode,) = episodes("folder", recordings / "folder" / "close_drawer" / name)
    assert (episode.num_frames, episode.num_actions, episode.fps) == (num_frames, num_frames, 20.0)
    assert [(camera.name, camera.recorded_name) for camera in episode.cameras] == [
        ("wrist", "cam_wrist"),
        ("left", "left"),
        ("right", "right"),
    ]
    assert (episode.task, episode.state_space) == ("close_drawer", "state:eef_0,eef_1,eef_2,finger_0,finger_1")
    shown, actions, state = read("folder", recordings / "folder" / "close_drawer" / name, episode)
    whole = recordings / "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
    with h5py.File(whole) as file:
        demo = file["data"][name]
        assert actions is not None
        assert actions.tobytes() == demo["actions"][:].tobytes()
        assert state is not None
        np.testing.assert_array_equal(state[:, :3], demo["obs/robot0_base_to_eef_pos"][:])
        wrist = demo["obs/robot0_eye_in_hand_image"][:].astype(int)
    moving = np.flatnonzero(np.abs(np.diff(wrist, axis=0)).mean(axis=(1, 2, 3)) > 2)
    assert len(moving) > 50
    for t in moving:
        error = [np.abs(shown["wrist"][t] - wrist[other]).mean() for other in (t, t + 1)]
        assert error[0] < error[1]


def test_what_the_notes_say(recordings: Path) -> None:
    first, second = episodes("folder", recordings / "folder")
    assert (first.file, first.episode_id, first.instructions) == (
        "close_drawer/demo_0",
        "demo_0",
        ("close the right drawer",),
    )
    assert (first.action_space, first.attributes["licence"]) == ("robocasa_panda_omron_action", "Apache-2.0")
    assert second.action_space is not None
    assert [dimension.name for dimension in spaces.load(second.action_space).dimensions][:3] == ["x", "y", "z"]
    assert (second.attributes["resampled"], second.attributes["offset_seconds_left"]) == (False, 0.004)
    (told,) = episodes("folder", recordings / "folder/close_drawer/demo_0", SourceOptions(instruction="shut it"))
    assert told.instructions == ("shut it",)


def test_a_folder_in_step_is_read_as_it_is(take: Path, frames: Mapping[str, Images]) -> None:
    for options in (SourceOptions(), RESAMPLE):
        assert read_parts(take, frames, options) == [({"front": ALL, "wrist": ALL}, REGULAR, ALL)]
    assert describe("folder", take) == describe("folder", take, RESAMPLE)


def test_ranges_may_overlap(take: Path, frames: Mapping[str, Images]) -> None:
    plugin = sources.load("folder")
    (file,), (episode,) = plugin.find(take), episodes("folder", take)
    with plugin.open(file, episode, SourceOptions()) as reader:
        for start, stop in ((0, 30), (20, 50), (50, 60)):
            np.testing.assert_array_equal(
                np.stack(list(reader.frames("front", start, stop))), frames["front"][start:stop]
            )


def test_without_a_table_the_first_camera_is_the_clock(take: Path, frames: Mapping[str, Images]) -> None:
    (take / "data.csv").unlink()
    (episode,) = episodes("folder", take)
    assert (episode.fps, episode.num_actions, episode.action_space, episode.state_space) == (20.0, 0, None, None)
    assert read_parts(take, frames, SourceOptions()) == [({"front": ALL, "wrist": ALL}, [], [])]


def test_the_last_rows_may_have_no_action(take: Path, frames: Mapping[str, Images]) -> None:
    lines = (take / "data.csv").read_text().splitlines()
    lines[-1] = lines[-1].rsplit(",", 2)[0] + ",,"
    (take / "data.csv").write_text("\n".join(lines) + "\n")
    assert read_parts(take, frames, SourceOptions()) == [({"front": ALL, "wrist": ALL}, REGULAR, ALL[:-1])]


def test_a_declared_space_gives_the_order_of_the_columns(take: Path) -> None:
    write_csv(take / "data.csv", {"time_seconds": REGULAR, "action_b": ALL, "action_a": [-i for i in ALL]})
    (take / "episode.json").write_text('{"action_space": "action:a,b"}')
    (episode,) = episodes("folder", take)
    _, actions, _ = read("folder", take, episode)
    assert actions is not None
    assert actions[5].tolist() == [-5, 5]
    (take / "episode.json").write_text('{"action_space": "osc_pose_action"}')
    assert "action columns are b, a; the action space osc_pose_action has delta_x" in refuse(take)


def test_cameras_are_chosen_and_named(take: Path) -> None:
    (take / "front.mkv").rename(take / "Cam Front.mkv")
    assert [camera.name for camera in episodes("folder", take)[0].cameras] == ["wrist", "cam_front"]
    (take / "episode.json").write_text('{"cameras": {"top": "Cam Front"}}')
    assert [camera.name for camera in episodes("folder", take)[0].cameras] == ["top"]
    options = SourceOptions(cameras={"hand": "wrist"})
    assert [(c.name, c.recorded_name) for c in episodes("folder", take, options)[0].cameras] == [("hand", "wrist")]
    message = refuse(take, SourceOptions(cameras={"hand": "cam_high"}))
    assert "'cam_high', which is not here; cameras here: Cam Front, wrist" in message


def test_the_digest_is_of_the_content(take: Path, tmp_path: Path) -> None:
    (first,) = episodes("folder", take)
    (copied,) = episodes("folder", shutil.copytree(take, tmp_path / "elsewhere" / "other"))
    assert copied.content_digest == first.content_digest
    write_table(take / "data.csv", [second + 0.001 for second in REGULAR])
    assert episodes("folder", take)[0].content_digest != first.content_digest


# --- Time -----------------------------------------------------------------------------------------------------------

Part = tuple[list[int], list[int], list[int]]  # originals shown by wrist and front, and numbers of the rows


def without(values: Sequence[float], *indices: int) -> list[float]:
    return [value for i, value in enumerate(values) if i not in indices]


def check_parts(take: Path, frames: Mapping[str, Images], options: SourceOptions, expected: Sequence[Part]) -> None:
    parts = read_parts(take, frames, options)
    assert [(shown["wrist"], shown["front"], rows) for shown, _, rows in parts] == list(expected)


def test_a_dropped_frame(take: Path, frames: Mapping[str, Images]) -> None:
    kept = without(ALL, 17)
    write_video(take / "wrist.mkv", frames["wrist"][kept], [REGULAR[i] for i in kept])
    message = refuse(take)
    assert "(1) camera wrist misses frames after frame 16 (0.800 s; the next is 0.100 s later)." in message
    assert "(2)" not in message
    assert "--resample" in message
    before, after = ALL[:17], ALL[18:]
    check_parts(take, frames, RESAMPLE, [(before, before, before), (after, after, after)])
    ids = [(episode.episode_id, episode.attributes["part"]) for episode in episodes("folder", take, RESAMPLE)]
    assert ids == [("take_part0", 0), ("take_part1", 1)]
    bridging = SourceOptions(resample=True, tolerance_seconds=0.05)
    check_parts(take, frames, bridging, [([*before, 16, *after], ALL, ALL)])
    (episode,) = episodes("folder", take, bridging)
    assert episode.attributes["num_repeated_frames"] == 1
    assert episode.attributes["max_time_error_seconds"] == 0.05
    assert len({e.content_digest for e in (*episodes("folder", take, RESAMPLE), episode)}) == 3


def test_a_frame_dropped_without_a_trace_in_time(take: Path, frames: Mapping[str, Images]) -> None:
    """An encoder at a constant rate closes the gap: the video is shorter."""
    write_video(take / "wrist.mkv", frames["wrist"][without(ALL, 17)], REGULAR[:-1])
    assert "(1) camera wrist ends 0.050 s before data.csv." in refuse(take)


def test_another_rate(take: Path, frames: Mapping[str, Images]) -> None:
    write_video(take / "front.mkv", list(frames["front"]), [i / 25 for i in ALL])
    message = refuse(take)
    assert "camera front runs at 25 frames a second, the clock at 20" in message
    assert "camera front ends 0.590 s before data.csv" in message
    assert "camera wrist" not in message
    ticks = range(48)  # frame i was taken at i / 25; tick k is at k / 20; of two as near the earlier
    nearest = [min(ALL, key=lambda i: (abs(100 * k - 80 * i), i)) for k in ticks]
    check_parts(take, frames, RESAMPLE, [(list(ticks), nearest, list(ticks))])
    (episode,) = episodes("folder", take, RESAMPLE)
    assert episode.attributes["num_left_out_frames"] == nearest[-1] + 1 - 48
    assert episode.attributes["max_time_error_seconds"] == 0.02


def test_an_offset(take: Path, frames: Mapping[str, Images]) -> None:
    write_video(take / "front.mkv", list(frames["front"]), [second + 0.08 for second in REGULAR])
    assert "camera front starts 0.080 s after data.csv; (2) camera front ends 0.080 s after data.csv." in refuse(take)
    check_parts(take, frames, RESAMPLE, [(ALL[2:], ALL[:-2], ALL[2:])])  # at tick 2, 0.1 s, frame 0 is 0.02 s old
    (episode,) = episodes("folder", take, RESAMPLE)
    assert episode.attributes["offset_seconds_front"] == 0.08
    assert episode.attributes["offset_seconds_wrist"] == 0.0


def test_a_wide_tolerance_still_takes_the_nearest(take: Path, frames: Mapping[str, Images]) -> None:
    write_video(take / "front.mkv", list(frames["front"]), [second + 0.05 for second in REGULAR])
    check_parts(take, frames, SourceOptions(tolerance_seconds=0.06), [(ALL, ALL, ALL)])  # accepted as it is
    wide = SourceOptions(resample=True, tolerance_seconds=0.06)
    check_parts(take, frames, wide, [(ALL[1:], ALL[:-1], ALL[1:])])


def test_a_frame_that_comes_twice(take: Path, frames: Mapping[str, Images]) -> None:
    twice = sorted([*ALL, 30])
    write_video(take / "front.mkv", frames["front"][twice], sorted([*REGULAR, REGULAR[30] + 0.001]))
    found = "(1) camera front has frames twice: one follows too soon on frame 30 (1.500 s; the next is 0.001 s later)."
    assert found in refuse(take)
    check_parts(take, frames, RESAMPLE, [(ALL, ALL, ALL)])
    write_csv(take / "front.csv", {"time_seconds": sorted([*REGULAR, REGULAR[30]])})
    assert found.replace("0.001", "0.000") in refuse(take)
    check_parts(take, frames, RESAMPLE, [(ALL, ALL, ALL)])
    assert episodes("folder", take, RESAMPLE)[0].attributes["num_left_out_frames"] == 1


def test_a_picture_repeated_at_a_time_of_its_own_shows_at_the_end(take: Path, frames: Mapping[str, Images]) -> None:
    write_video(take / "front.mkv", frames["front"][sorted([*ALL, 30])], [*REGULAR, 3.0])
    assert "(1) camera front ends 0.050 s after data.csv." in refuse(take)


def test_a_variable_rate(take: Path, frames: Mapping[str, Images]) -> None:
    """Intervals of 20 to 80 ms: each tick shows the nearest frame, and none where that is too far."""
    intervals = np.random.default_rng(0).choice([0.02, 0.04, 0.05, 0.06, 0.08], NUM_FRAMES - 1)
    taken = np.round(np.append(0, np.cumsum(intervals)), 3)
    write_video(take / "wrist.mkv", list(frames["wrist"]), taken.tolist())
    message = refuse(take)
    assert "camera wrist misses frames after frame" in message
    assert "more places" in message
    options = SourceOptions(resample=True, tolerance_seconds=0.04)
    parts = read_parts(take, frames, options)
    rows = [row for _, _, part in parts for row in part]
    assert len(rows) > 50
    for shown, state, numbers in parts:
        assert shown["front"] == numbers
        assert state == [REGULAR[row] for row in numbers]
        for camera, row in zip(shown["wrist"], numbers, strict=True):
            assert abs(taken[camera] - REGULAR[row]) == pytest.approx(np.abs(taken - REGULAR[row]).min(), abs=1e-9)
    left_out = set(range(max(rows) + 1)) - set(rows)
    assert all(np.abs(taken - REGULAR[row]).min() > 0.04 for row in left_out)


def test_small_jitter_is_in_step_until_the_tolerance_says_otherwise(take: Path, frames: Mapping[str, Images]) -> None:
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, NUM_FRAMES)
    jitter[[0, -1]] = 0
    write_csv(take / "front.csv", {"time_seconds": (REGULAR + jitter).tolist()})
    check_parts(take, frames, SourceOptions(), [(ALL, ALL, ALL)])
    worst = int(np.abs(jitter).argmax())
    message = refuse(take, SourceOptions(tolerance_seconds=0.005))
    assert f"camera front is not regular: frame {worst} " in message


@pytest.mark.parametrize(("rate", "fps"), [(30000 / 1001, 30.0), (12.5, 12.5), (60.0, 60.0), (3.3333, 3.33)])
def test_the_rate_of_times_rounded_to_milliseconds(take: Path, rate: float, fps: float) -> None:
    write_table(take / "data.csv", [round(i / rate, 3) for i in ALL])
    for camera in ("front", "wrist"):
        write_csv(take / f"{camera}.csv", {"time_seconds": [i / rate for i in ALL]})
    (episode,) = episodes("folder", take)
    assert episode.fps == fps


def test_a_dropped_row_ends_a_piece_at_any_tolerance(take: Path, frames: Mapping[str, Images]) -> None:
    """An action is a step that was done once: it is neither made up nor done twice."""
    write_table(take / "data.csv", without(REGULAR, 10))
    assert "(1) data.csv misses rows after row 9 (0.450 s; the next is 0.100 s later)." in refuse(take)
    expected = [(ALL[:10], ALL[:10], ALL[:10]), (ALL[11:], ALL[11:], ALL[10:-1])]
    check_parts(take, frames, RESAMPLE, expected)
    check_parts(take, frames, SourceOptions(resample=True, tolerance_seconds=0.05), expected)


def test_two_dropped_rows_cost_two_ticks(take: Path, frames: Mapping[str, Images]) -> None:
    write_table(take / "data.csv", without(REGULAR, 10, 11))
    expected = [(ALL[:10], ALL[:10], ALL[:10]), (ALL[12:], ALL[12:], ALL[10:-2])]
    check_parts(take, frames, RESAMPLE, expected)
    check_parts(take, frames, SourceOptions(resample=True, tolerance_seconds=0.05), expected)


def test_a_row_that_comes_twice_ends_a_piece(take: Path, frames: Mapping[str, Images]) -> None:
    write_table(take / "data.csv", sorted([*REGULAR, REGULAR[10]]))
    check_parts(take, frames, RESAMPLE, [(ALL[:11], ALL[:11], ALL[:11]), (ALL[11:], ALL[11:], [*ALL[12:], 60])])


def test_actions_that_are_steps_keep_their_rate(take: Path) -> None:
    write_table(take / "data.csv", [i / 50 for i in range(148)])
    assert "camera front runs at 20 frames a second, the clock at 50" in refuse(take)
    assert "50 actions a second are not resampled to 20" in refuse(take, SourceOptions(resample=True, fps=20))


@pytest.mark.parametrize("rate", [50, 10])
def test_actions_that_hold_are_those_in_force(take: Path, frames: Mapping[str, Images], rate: int) -> None:
    """At each tick the last action that was given, never a later one; the state is the nearest."""
    given = [i / rate for i in range(int(2.95 * rate) + 1)]
    write_table(take / "data.csv", given)
    (take / "episode.json").write_text('{"actions_hold": true, "fps": 20}')
    ((shown, state, rows),) = read_parts(take, frames, RESAMPLE)
    assert shown == {"wrist": ALL, "front": ALL}
    for tick, seen, row in zip(REGULAR, state, rows, strict=True):
        assert row == max(i for i, second in enumerate(given) if second <= tick + 0.25 / rate)
        assert abs(seen - tick) == pytest.approx(min(abs(second - tick) for second in given), abs=1e-9)


def test_times_that_are_not_repaired(take: Path) -> None:
    backward = [*REGULAR[:20], REGULAR[21], REGULAR[20], *REGULAR[22:]]
    write_csv(take / "front.csv", {"time_seconds": backward})
    found = "camera front: time runs backward at frame 21, from 1.050000 s to 1.000000 s"
    assert found in refuse(take)
    assert found in refuse(take, RESAMPLE)
    write_csv(take / "front.csv", {"time_seconds": REGULAR[:-1]})
    assert "front.csv: 59 rows for the 60 frames of front.mkv" in refuse(take, RESAMPLE)


def test_other_clocks_have_nothing_in_common(take: Path) -> None:
    write_table(take / "data.csv", [1.7e9 + second for second in REGULAR])
    assert "camera front starts 1700000000.000 s before data.csv" in refuse(take)
    message = refuse(take, RESAMPLE)
    assert "at no tick is there an entry of every stream" in message
    assert "CAMERA.csv says a camera's" in message


# --- Broken folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "data.csv: the file is empty"),
        ("time_seconds,state_x\n", "data.csv: the table has no rows"),
        ("seconds,state_x\n0,1\n", "data.csv: there is a column 'seconds'"),
        ("state_x\n1\n", "data.csv: there is no column time_seconds, only state_x"),
        ("time_seconds,reward\n0,1\n", "there is a column 'reward'; columns are time_seconds, state_NAME"),
        ("time_seconds,state_a b\n0,1\n", "there is a column 'state_a b'"),
        ("time_seconds\n0\n", "no column state_NAME and none action_NAME"),
        ("time_seconds,state_x,state_x\n0,1,2\n", "columns have the same name"),
        ("time_seconds,state_x\n0,1\n\n0.05,up\n", "column 'state_x' holds 'up' in line 4, which is no number"),
        ("time_seconds,state_x\n0,1\n0.05\n", "line 3 has 1 cells, the first line has 2"),
        ("time_seconds,state_x\n0,1\n0.05,\n", "column 'state_x' is empty in line 3"),
        ("time_seconds,action_x\n0,1\n0.05,nan\n0.1,1\n", "column 'action_x' holds nan in line 3"),
        ("time_seconds,action_x\n0,1\n0.05,\n0.1,1\n", "column 'action_x' is empty in line 3"),
        ("time_seconds,action_x\n0,-inf\n0.05,1\n", "column 'action_x' holds -inf in line 2"),
        ("time_seconds,action_x\n0,\n0.05,\n", "the columns action_NAME are empty"),
        ("time_seconds,state_x\nnan,1\n", "column 'time_seconds' holds nan in line 2"),
        ("time_seconds,action_0,action_1\n0,1,1\n0.05,1,1\n", "the action columns are only numbered"),
    ],
)
def test_broken_tables(take: Path, text: str, message: str) -> None:
    (take / "data.csv").write_text(text)
    assert message in refuse(take)


def test_broken_parquet(take: Path) -> None:
    (take / "data.csv").unlink()
    columns = {"time_seconds": REGULAR, "action_x": [float(i) for i in ALL]}
    pq.write_table(pa.table({**columns, "state_note": ["a"] * NUM_FRAMES}), take / "data.parquet")
    assert "column 'state_note' holds string, not numbers" in refuse(take)
    columns["action_x"][7] = float("inf")
    pq.write_table(pa.table(columns), take / "data.parquet")
    assert "column 'action_x' holds inf in row 7" in refuse(take)
    columns["action_x"][7] = 0.0
    pq.write_table(pa.table({**columns, "state_x": pa.array([*ALL[:-1], None])}), take / "data.parquet")
    assert "column 'state_x' is empty in row 59" in refuse(take)
    (take / "data.parquet").write_bytes((take / "data.parquet").read_bytes()[:300])
    assert "the Parquet file is damaged" in refuse(take)


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"language": "x"}', "there is a key 'language'; keys are fps, instructions"),
        ('{"fps": 0}', "'fps' is 0, not a number above zero"),
        ('{"fps": NaN}', "'fps' is NaN"),
        ('{"instructions": [1]}', "'instructions' is [1], not a text or a list of texts"),
        ('{"attributes": {"x": []}}', "'attributes' is"),
        ('{"action_space": "aloha"}', "there is no action or state space 'aloha'. Choose one of"),
        ('{"cameras": {"Top": "front"}}', "camera name 'Top' is not [a-z0-9_]+"),
    ],
)
def test_broken_notes(take: Path, notes: str, message: str) -> None:
    (take / "episode.json").write_text(notes)
    assert message in refuse(take)


def test_files_that_are_missing_or_too_many(take: Path) -> None:
    shutil.copy(take / "front.mkv", take / "front.mp4")
    assert "front.mp4 and front.mkv are both the camera 'front'" in refuse(take)
    (take / "front.mp4").unlink()
    (take / "frnt.csv").write_text("time_seconds\n0\n")
    assert "frnt.csv is neither data.csv nor data.parquet nor CAMERA.csv" in refuse(take)
    (take / "frnt.csv").rename(take / "data.parquet")
    assert "there is a data.csv and a data.parquet" in refuse(take)
    (take / "data.parquet").unlink()
    for camera in ("front", "wrist"):
        (take / f"{camera}.mkv").unlink()
    assert "there is no video in this folder" in refuse(take)
    assert "Give the folder" in refuse(take / "data.csv")


def test_a_truncated_video(take: Path) -> None:
    video = take / "front.mkv"
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    assert "camera front ends" in refuse(take) or "truncated" in refuse(take)
    video.write_bytes(video.read_bytes()[:100])
    assert "front.mkv" in refuse(take)


def test_other_sources_do_not_resample(recordings: Path) -> None:
    for source, folder in {"robocasa": "robocasa", "libero": "libero", "teleop": "aloha", "video": "video"}.items():
        with pytest.raises(SourceError, match="only the sources folder and ros are resampled"):
            describe(source, recordings / folder, RESAMPLE)


# --- As a data set --------------------------------------------------------------------------------------------------


def test_ingest_says_what_it_did(take: Path, frames: Mapping[str, Images], tmp_path: Path) -> None:
    kept = without(ALL, 17)
    write_video(take / "wrist.mkv", frames["wrist"][kept], [REGULAR[i] for i in kept])
    command = ["ingest", "folder", str(take.parent), "--out", str(tmp_path / "out"), "--workers", "1"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    made = CliRunner().invoke(app, [*command, "--resample", "--tolerance-seconds", "0.05", "--codec", "ffv1"])
    assert made.exit_code == 0, made.output
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.manifest.options["resample"] is True
    assert dataset.manifest.options["tolerance_seconds"] == 0.05
    (clip,) = dataset.clips
    assert clip.episode.attributes["num_repeated_frames"] == 1
    assert clip.episode.action_space == "action:number,zero"
    assert list(dataset.manifest.statistics) == ["action:number,zero", "state:clock"]
    stored = dataset.frames(clip, "wrist", [15, 16, 17, 18])
    np.testing.assert_array_equal(stored, frames["wrist"][[15, 16, 16, 18]])
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["source"] == "folder"
