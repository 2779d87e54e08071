"""Collecting: which attempts are kept, what lies on disk, and what interruptions and crashes leave behind."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.sources.reading import episodes, read
from vpdata.errors import SimulatorError
from vpdata.simulators.collect import Collected, CollectOptions, collect

OPTIONS = CollectOptions(simulator="metaworld", cameras=("gripperPOV", "corner"), size=16)


def run(out: Path, *tasks: str, options: CollectOptions = OPTIONS, number: int = 4, workers: int = 2) -> Collected:
    return collect(options, out, tasks=tasks, episodes=number, seed=0, workers=workers)


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def command(out: Path, task: str, number: int) -> list[str]:
    options = ["--episodes", str(number), "--size", "16", "--workers", "2", "--out", str(out)]
    return [sys.executable, "-m", "vpdata", "collect", "metaworld", "--task", task, *options]


@pytest.mark.usefixtures("stand_ins")
def test_the_first_seeds_that_succeed_are_kept_whatever_the_number_of_workers(tmp_path: Path) -> None:
    collected = run(tmp_path / "two", "reach-v3", workers=3)
    (task,) = collected.tasks
    assert (sorted(task.succeeded), task.failed, task.num_made) == ([0, 1, 3, 4], [2], 4)
    assert collected.backend == "egl"
    run(tmp_path / "one", "reach-v3", workers=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    kept = sorted(path.name for path in (tmp_path / "one/reach-v3").iterdir())
    assert kept == ["seed_000000", "seed_000001", "seed_000003", "seed_000004"]


@pytest.mark.usefixtures("stand_ins")
def test_an_episode_shows_what_was_seen_before_each_action(tmp_path: Path) -> None:
    run(tmp_path / "out", "reach-v3", number=1)
    (episode,) = episodes("folder", tmp_path / "out")
    assert (episode.task, episode.instructions, episode.fps) == ("reach-v3", ("reach the goal",), 80.0)
    assert [camera.name for camera in episode.cameras] == ["wrist", "corner"]
    assert (episode.action_space, episode.state_space) == ("metaworld_action", "metaworld_state")
    assert episode.attributes["success"] is True
    assert episode.num_frames == episode.num_actions + 1
    frames, actions, state = read("folder", tmp_path / "out", episode)
    assert actions is not None
    assert state is not None
    assert (actions.dtype, state.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(np.diff(state[:, :2], axis=0), 0.01 * actions[:, :2])
    for camera in ("wrist", "corner"):  # upright: the white row is on top, though the corner camera hangs upside down
        assert (frames[camera][:, 0] == 255).all()
        np.testing.assert_array_equal(frames[camera][:, -1, 0, 0], np.rint(state[:, 0] * 100))
        np.testing.assert_array_equal(frames[camera][:, -1, -1, 1], np.rint(state[:, 1] * 100))


@pytest.mark.usefixtures("stand_ins")
def test_failures_are_kept_and_counted_if_asked_for(tmp_path: Path) -> None:
    options = CollectOptions(simulator="metaworld", cameras=("corner",), size=16, keep_failures=True)
    (task,) = run(tmp_path / "out", "reach-v3", options=options, number=3).tasks
    assert (sorted(task.succeeded), task.failed) == ([0, 1], [2])
    by_seed = {episode.attributes["seed"]: episode for episode in episodes("folder", tmp_path / "out")}
    assert [by_seed[seed].attributes["success"] for seed in range(3)] == [True, True, False]
    assert by_seed[2].num_actions == 12  # all that the task allows


@pytest.mark.usefixtures("stand_ins")
def test_more_episodes_go_on_from_those_that_are_there(tmp_path: Path) -> None:
    run(tmp_path / "out", "reach-v3", number=2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/reach-v3").rglob("*")}
    (task,) = run(tmp_path / "out", "reach-v3", number=4).tasks
    assert (sorted(task.succeeded), task.num_made) == ([0, 1, 3, 4], 2)
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())


@pytest.mark.usefixtures("stand_ins")
def test_other_cameras_are_refused_once_there_are_episodes(tmp_path: Path) -> None:
    other = CollectOptions(simulator="metaworld", cameras=("corner",), size=16)
    with pytest.raises(SimulatorError, match=r"no camera 'nowhere'.*corner, gripperPOV"):
        run(tmp_path / "out", "reach-v3", options=CollectOptions(simulator="metaworld", cameras=("nowhere",), size=16))
    run(tmp_path / "out", "reach-v3", number=1)  # the wrong name before left nothing that stands in the way
    with pytest.raises(SimulatorError, match="other cameras or another size"):
        run(tmp_path / "out", "reach-v3", options=other)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(SimulatorError, match="holds something else"):
        run(tmp_path, "reach-v3")


@pytest.mark.usefixtures("stand_ins")
def test_a_crash_is_told_and_leaves_the_finished_episodes(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=r"was killed \(signal 6\) at 'rehearse'"):
        run(tmp_path / "out", "push-v3", workers=1)
    assert [episode.attributes["seed"] for episode in episodes("folder", tmp_path / "out")] == [0, 1]


@pytest.mark.usefixtures("stand_ins")
def test_an_expert_that_never_succeeds_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="sweep-v3 failed 12 times and succeeded 0 times"):
        run(tmp_path / "out", "sweep-v3", number=1)


@pytest.mark.usefixtures("stand_ins")
def test_ctrl_c_ends_a_simulator_that_hangs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(out, "door-open-v3", 2),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    while not (out / "door-open-v3/seed_000000").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from the finished episodes" in said


@pytest.mark.usefixtures("stand_ins")
def test_a_killed_collect_leaves_whole_episodes_and_ends_the_same(tmp_path: Path) -> None:
    run(tmp_path / "whole", "reach-v3", number=8)
    out, whole = tmp_path / "killed", contents(tmp_path / "whole")
    process = subprocess.Popen(command(out, "reach-v3", 8), stdout=subprocess.DEVNULL)
    while process.poll() is None and len(list(out.glob("reach-v3/seed_*"))) < 3:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    finished = {name: digest for name, digest in contents(out).items() if "/.partial" not in name}
    assert finished.items() < whole.items()
    result = subprocess.run([*command(out, "reach-v3", 8), "--json"], capture_output=True, text=True, check=True)
    (row,) = json.loads(result.stdout)["tasks"]
    assert row["episodes"] == 8
    assert contents(out) == whole
