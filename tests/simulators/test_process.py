"""The process that a simulator runs in: what it answers, and what is said when it dies."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from vpdata import simulators
from vpdata.errors import SimulatorError
from vpdata.simulators import EnvironmentOptions
from vpdata.simulators.metaworld_tasks import INSTRUCTIONS
from vpdata.simulators.process import start

REACH = EnvironmentOptions(task="reach-v3", cameras={"front": "corner"}, size=16)


@pytest.mark.usefixtures("stand_ins")
def test_a_policy_acts_in_it_as_in_this_process() -> None:
    with start() as environment:
        environment.make("metaworld", REACH)
        info = environment.info
        assert (info.instruction, info.fps, info.max_steps) == ("reach the goal", 80.0, 12)
        seen = environment.reset(0)
        assert seen.frames["front"].shape == (16, 16, 3)
        assert not seen.success
        seen = environment.step(np.array([1, 0.5, 0, 0], np.float32))
        np.testing.assert_allclose(seen.state[:2], [0.01, 0.005])
        assert environment.rehearse(0) is not None
        assert environment.rehearse(2) is None


@pytest.mark.usefixtures("stand_ins")
def test_a_user_chooses_what_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    with start() as environment:
        environment.make("metaworld", REACH)
        assert environment.backend == "osmesa"


def test_where_nothing_renders_the_error_lists_what_was_tried(
    stand_ins: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mujoco.py").write_text("raise ImportError('no library ' + __import__('os').environ['MUJOCO_GL'])")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{stand_ins}")
    with (
        start() as environment,
        pytest.raises(SimulatorError, match=r"no library egl.*no library osmesa.*Install Mesa"),
    ):
        environment.make("metaworld", REACH)


@pytest.mark.usefixtures("stand_ins")
def test_a_bug_keeps_its_traceback() -> None:
    with start() as environment:
        environment.make("metaworld", REACH)
        environment.reset(0)
        with pytest.raises(RuntimeError, match=r"Traceback(.|\n)*in step(.|\n)*AssertionError"):
            environment.step(np.zeros(3))
        assert environment.info.fps == 80  # and the process goes on


@pytest.mark.usefixtures("stand_ins")
def test_a_killed_process_is_told() -> None:
    with start() as environment:
        environment.make("metaworld", REACH)
        os.kill(environment.pid, signal.SIGKILL)
        with pytest.raises(SimulatorError, match=r"was killed \(signal 9\) at 'reset'"):
            environment.reset(0)


def test_an_interpreter_that_is_none_is_refused() -> None:
    with pytest.raises(SimulatorError, match="does not start"), start(Path("/no/such/python")):
        pass


def test_what_a_dying_interpreter_said_last_is_told(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho this is no Python >&2\nexit 3\n")
    python.chmod(0o755)
    with start(python) as environment, pytest.raises(SimulatorError, match=r"exit code 3.*this is no Python"):
        environment.make("metaworld", REACH)


def test_an_unknown_simulator_is_refused() -> None:
    with pytest.raises(SimulatorError, match=r"no simulator 'gazebo'.*metaworld, libero, robocasa"):
        simulators.load("gazebo")


def test_every_task_says_what_to_do_in_words_of_its_own() -> None:
    assert len(INSTRUCTIONS) == 50
    assert len(set(INSTRUCTIONS.values())) == 50
    assert all(text == text.lower().strip() and " " in text for text in INSTRUCTIONS.values())
