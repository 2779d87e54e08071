"""A simulator's process: requests come on stdin, answers leave on stdout; what the simulator prints goes to stderr.

It runs in the interpreter that has the simulator, which needs nothing of ours but this folder (see `process`). It ends
with the process that started it.
"""

import importlib.util
import os
import signal
import sys
import traceback
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from vpdata import simulators
from vpdata.errors import SimulatorError
from vpdata.simulators import EnvironmentOptions, Scene, wire
from vpdata.simulators.headless import choose_backend

Arrays = dict[str, NDArray[Any]]


class Session:
    """Holds the one environment of this process; every public method answers the request of its name."""

    def __init__(self) -> None:
        self._environment: Any = None

    def make(self, header: dict[str, Any], arrays: Arrays) -> wire.Message:  # noqa: ARG002
        """Makes an environment, in place of the one before."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        plugin = simulators.load(header["simulator"])
        if importlib.util.find_spec(plugin.package) is None:
            what = f"the simulator {plugin.name} needs the package {plugin.package!r}, which {sys.executable} lacks."
            raise SimulatorError(what, hint=plugin.hint)
        backend = choose_backend()
        self._environment = plugin.make(EnvironmentOptions(**header["options"]))
        return {"backend": backend}, {}

    def info(self, header: dict[str, Any], arrays: Arrays) -> wire.Message:  # noqa: ARG002
        """What there is to know about the task."""
        return asdict(self._environment.info), {}

    def reset(self, header: dict[str, Any], arrays: Arrays) -> wire.Message:  # noqa: ARG002
        """Begins an attempt."""
        return wire.pack_observation(self._environment.reset(header["seed"]))

    def step(self, header: dict[str, Any], arrays: Arrays) -> wire.Message:  # noqa: ARG002
        """Does one action."""
        return wire.pack_observation(self._environment.step(arrays["action"]))

    def expert(self, header: dict[str, Any], arrays: Arrays) -> wire.Message:  # noqa: ARG002
        """The expert's next action."""
        return {}, {"action": self._environment.expert()}

    def rehearse(self, header: dict[str, Any], arrays: Arrays) -> wire.Message:  # noqa: ARG002
        """Whether and when the expert succeeds."""
        return {"steps": self._environment.rehearse(header["seed"])}, {}

    def load_scene(self, header: dict[str, Any], arrays: Arrays) -> wire.Message:  # noqa: ARG002
        """Replaces the world."""
        self._environment.load_scene(Scene(**header))
        return {}, {}

    def restore(self, header: dict[str, Any], arrays: Arrays) -> wire.Message:  # noqa: ARG002
        """Shows a recorded state."""
        return wire.pack_observation(self._environment.restore(arrays["state"]))


def main() -> None:
    """Answers requests until the other side ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # some simulators ask questions
    os.dup2(2, 1)
    session = Session()
    while (message := wire.read(requests)) is not None:
        header, arrays = message
        method = header.pop("method")
        try:
            answer, answered = getattr(session, method)(header, arrays)
        except SimulatorError as error:
            answer, answered = {"error": {"what": error.what, "hint": error.hint}}, {}
        except Exception:
            answer, answered = {"traceback": traceback.format_exc()}, {}
        wire.write(answers, answer, answered)
