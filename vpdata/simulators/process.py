"""Environments in a process of their own, so that a simulator may crash, or live in another interpreter.

Enters: the simulator, what to make, and the interpreter that has it. Leaves: a `RemoteEnvironment`, which behaves as
the environment does; a SimulatorError where the process died.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import vpdata
from vpdata.errors import SimulatorError
from vpdata.simulators import EnvironmentOptions, Observation, Scene, TaskInfo, wire

# Finds this very package without its neighbours in site-packages, which are for another interpreter.
BOOTSTRAP = (
    "import importlib.util as u, sys; "
    "s = u.spec_from_file_location('vpdata', sys.argv[1], submodule_search_locations=[sys.argv[2]]); "
    "m = u.module_from_spec(s); sys.modules['vpdata'] = m; s.loader.exec_module(m); "
    "from vpdata.simulators.serve import main; main()"
)
LAST_WORDS = 400  # characters of stderr in an error


class RemoteEnvironment:
    """An environment in another process: an `Expert` or a `Playback`, by what the simulator is.

    Attributes:
        backend: what renders, a value of `MUJOCO_GL`; empty until `make`.
        pid: the process.
    """

    def __init__(self, process: subprocess.Popen[bytes], errors: Path) -> None:
        self._process = process
        self._errors = errors
        self.backend = ""
        self.pid = process.pid

    def make(self, simulator: str, options: EnvironmentOptions) -> None:
        """Makes the environment, in place of the one before; errors as in `start`."""
        request = {"simulator": simulator, "options": asdict(options)}
        self.backend = self._ask("make", request)[0]["backend"]

    @property
    def info(self) -> TaskInfo:
        """See `Environment.info`."""
        return TaskInfo(**self._ask("info")[0])

    def reset(self, seed: int) -> Observation:
        """See `Environment.reset`."""
        return wire.unpack_observation(self._ask("reset", {"seed": seed}))

    def step(self, action: NDArray[np.floating]) -> Observation:
        """See `Environment.step`."""
        return wire.unpack_observation(self._ask("step", arrays={"action": action}))

    def expert(self) -> NDArray[np.float32]:
        """See `Expert.expert`."""
        return self._ask("expert")[1]["action"]

    def rehearse(self, seed: int) -> int | None:
        """See `Expert.rehearse`."""
        return cast(int | None, self._ask("rehearse", {"seed": seed})[0]["steps"])

    def load_scene(self, scene: Scene) -> None:
        """See `Playback.load_scene`."""
        self._ask("load_scene", asdict(scene))

    def restore(self, state: NDArray[np.float64]) -> Observation:
        """See `Playback.restore`."""
        return wire.unpack_observation(self._ask("restore", arrays={"state": state}))

    def close(self) -> None:
        """Ends the process, whatever it is doing; a request that waits for its answer raises SimulatorError."""
        self._process.kill()
        self._process.wait()

    def _ask(
        self, method: str, header: dict[str, Any] | None = None, arrays: dict[str, NDArray[Any]] | None = None
    ) -> wire.Message:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it died: the missing answer says so
            wire.write(self._process.stdin, {"method": method, **(header or {})}, arrays or {})
        answer = wire.read(self._process.stdout)
        if answer is None:
            raise SimulatorError(self._death(method))
        if error := answer[0].get("error"):
            raise SimulatorError(error["what"], hint=error["hint"])
        if text := answer[0].get("traceback"):
            raise RuntimeError(f"{method} failed in the simulator's process:\n{text}")
        return answer

    def _death(self, method: str) -> str:
        code = self._process.wait()
        how = f"was killed (signal {-code})" if code < 0 else f"ended (exit code {code})"
        last = self._errors.read_text(errors="replace").strip()[-LAST_WORDS:]
        return f"the simulator's process {how} at {method!r}; it said last: {last or 'nothing'}"


@contextmanager
def start(python: Path | None = None) -> Iterator[RemoteEnvironment]:
    """A process that can `make` environments; it ends with the block.

    Args:
        python: the interpreter that has the simulator; None for this one.

    Raises:
        SimulatorError: there is no such interpreter, or (at any request) the process dies, the simulator is not
            installed or cannot render.
    """
    package = Path(vpdata.__file__)
    command = [str(python or sys.executable), "-c", BOOTSTRAP, str(package), str(package.parent)]
    with tempfile.TemporaryDirectory(prefix="simulator-", ignore_cleanup_errors=True) as scratch:
        errors = Path(scratch) / "stderr"
        surroundings = {**os.environ, "TMPDIR": scratch}  # so that what the simulator leaves there goes with it
        try:
            with errors.open("wb") as stderr:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=surroundings
                )
        except OSError as error:
            what = f"this interpreter does not start ({error.strerror})."
            raise SimulatorError(what, path=python, hint="Check --simulator-python.") from error
        remote = RemoteEnvironment(process, errors)
        try:
            yield remote
        finally:
            remote.close()
            for stream in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    assert stream is not None
                    stream.close()
