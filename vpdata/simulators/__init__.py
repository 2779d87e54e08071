"""Simulators: the tasks they hold, and environments that a policy or a recorded demo drives. One file a simulator.

Enters: the name of a simulator and of a task. Leaves: an environment that shows RGB, upright, what the robot sees. The
simulators themselves are imported only when an environment is made; `process.start` makes it in a process of its own,
by another interpreter where need be, as simulators pin versions that exclude each other.

This folder imports nothing but numpy and the errors until it is asked to: it also runs in a simulator's interpreter.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SimulatorError

NAMES = ("metaworld", "libero", "robocasa")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOptions:
    """What environment to make.

    Attributes:
        task: a name of the simulator's.
        cameras: canonical name -> the simulator's name.
        size: height and width of all frames in pixels.
        settings: what a recording says about the environment it was made in (RoboCasa); empty for the simulator's own.
    """

    task: str
    cameras: Mapping[str, str]
    size: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """What a policy has to know about an environment's task.

    Attributes:
        instruction: what to do, in words.
        fps: steps a second.
        action_space, state_space: names in `vpdata.spaces`.
        max_steps: after which an attempt counts as failed.
    """

    instruction: str
    fps: float
    action_space: str
    state_space: str
    max_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is seen at one moment.

    Attributes:
        frames: canonical camera name -> uint8 (H, W, 3), RGB, upright.
        state: float64 (D,) in the task's state space.
        success: whether the task is fulfilled at this moment.
    """

    frames: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float64]
    success: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a demo says about its world: MuJoCo's XML, and for RoboCasa the JSON that describes the kitchen."""

    model_xml: str
    episode_meta: str = "{}"


class Environment(Protocol):
    """One task, to be acted in: for roll-outs and for collecting."""

    @property
    def info(self) -> TaskInfo:
        """What there is to know about the task."""
        ...

    def reset(self, seed: int) -> Observation:
        """Begins an attempt; the same seed begins the same one."""
        ...

    def step(self, action: NDArray[np.floating]) -> Observation:
        """Does one action (D,) in the task's action space, and shows what came of it."""
        ...

    def close(self) -> None:
        """Frees the simulator."""
        ...


class Expert(Environment, Protocol):
    """An environment with a controller that knows how to do the task."""

    def expert(self) -> NDArray[np.float32]:
        """The controller's next action (D,), within the bounds of the action space."""
        ...

    def rehearse(self, seed: int) -> int | None:
        """The steps after which the controller succeeds from this seed, None where it does not. Renders nothing."""
        ...


class Playback(Protocol):
    """One task, to be put into recorded states."""

    def load_scene(self, scene: Scene) -> None:
        """Replaces the world by a recorded one."""
        ...

    def restore(self, state: NDArray[np.float64]) -> Observation:
        """Shows the world in a state (N,) as MuJoCo flattens it: time, positions, velocities."""
        ...

    def close(self) -> None:
        """Frees the simulator."""
        ...


class Simulator(Protocol):
    """A simulator plugin.

    Attributes:
        package: the module that must be there.
        hint: how to install it.
    """

    name: str
    package: str
    hint: str

    def make(self, options: EnvironmentOptions) -> Environment | Playback:
        """An environment in this process, which can already render. Raises SimulatorError for an unknown task."""
        ...


def load(name: str) -> Simulator:
    """The simulator plugin with that name. Raises SimulatorError for an unknown one."""
    if name not in NAMES:
        raise SimulatorError(f"there is no simulator {name!r}.", hint=f"Choose one of {', '.join(NAMES)}.")
    return cast(Simulator, importlib.import_module(f"vpdata.simulators.{name}").SIMULATOR)
