"""The real Meta-World: upright pictures, actions that can be replayed, and words for every task."""

from pathlib import Path

import numpy as np
import pytest

from tests.sources.reading import episodes, read
from vpdata.simulators import EnvironmentOptions
from vpdata.simulators.collect import CollectOptions, collect
from vpdata.simulators.metaworld_tasks import INSTRUCTIONS
from vpdata.simulators.process import start

SIDE_CAMERAS = ("corner", "corner2", "corner3")


def test_there_are_words_for_every_task_and_no_others(metaworld_python: Path) -> None:
    with start(metaworld_python) as environment:
        for task in INSTRUCTIONS:
            environment.make("metaworld", EnvironmentOptions(task=task, cameras={}, size=32))
            assert environment.info.instruction == INSTRUCTIONS[task]


def test_pictures_are_upright(metaworld_python: Path) -> None:
    """Lifting the hand moves the red of the arm up in the picture."""
    with start(metaworld_python) as environment:
        cameras = {name.lower(): name for name in SIDE_CAMERAS}
        environment.make("metaworld", EnvironmentOptions(task="reach-v3", cameras=cameras, size=96))
        environment.reset(0)
        for _ in range(15):
            low = environment.step(np.array([0, 0, -1, 0], np.float32))
        for _ in range(25):
            high = environment.step(np.array([0, 0, 1, 0], np.float32))
    assert high.state[2] - low.state[2] > 0.05
    for name in SIDE_CAMERAS:
        assert row_of_arm(high.frames[name]) < row_of_arm(low.frames[name]) - 1, name


def row_of_arm(frame: np.ndarray) -> float:
    """Mean row, from the top, of the pixels that are red: the arm."""
    red, green, blue = (frame[..., channel].astype(int) for channel in range(3))
    rows, _ = np.nonzero((red > 60) & (red > 2 * green) & (red > 2 * blue))
    assert len(rows)
    return float(rows.mean())


def test_an_episode_is_exact_and_its_actions_can_be_replayed(metaworld_python: Path, tmp_path: Path) -> None:
    options = CollectOptions(simulator="metaworld", cameras=("gripperPOV", "corner"), size=32)
    collect(
        options, tmp_path / "out", tasks=("button-press-v3",), episodes=1, seed=5, workers=2, python=metaworld_python
    )
    for episode in episodes("folder", tmp_path / "out"):
        assert (episode.fps, episode.attributes["success"]) == (80.0, True)
        frames, actions, state = read("folder", tmp_path / "out/button-press-v3" / episode.episode_id, episode)
        assert actions is not None
        assert state is not None
        with start(metaworld_python) as environment:
            environment.make(
                "metaworld", EnvironmentOptions(task=episode.task, cameras=options.canonical_cameras(), size=32)
            )
            seen = environment.reset(int(episode.attributes["seed"]))
            for step, action in enumerate(actions):
                assert not seen.success
                np.testing.assert_array_equal(seen.state, state[step])
                for camera, frame in seen.frames.items():
                    np.testing.assert_array_equal(frame, frames[camera][step])
                seen = environment.step(action)
        assert seen.success


@pytest.mark.parametrize("task", ["drawer-open-v3", "pick-place-v3"])
def test_other_seeds_are_other_attempts_and_equal_ones_the_same(metaworld_python: Path, task: str) -> None:
    with start(metaworld_python) as environment:
        environment.make("metaworld", EnvironmentOptions(task=task, cameras={"top": "topview"}, size=48))
        first, second, again = (environment.reset(seed).frames["top"] for seed in (3, 4, 3))
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(first, again)
