"""LIBERO (the package `hf-libero`): tasks of one Panda arm, named `SUITE/TASK` as its BDDL files are.

Enters: a task's name and cameras. Leaves: an environment that is both an `Environment` and a `Playback`. Seed k begins
at the benchmark's k-th fixed state, as its evaluation does.
"""

import atexit
import importlib.util
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SimulatorError
from vpdata.simulators import EnvironmentOptions, Observation, Scene, TaskInfo

CAMERAS = {"wrist": "robot0_eye_in_hand", "front": "agentview"}
FPS = 20.0
MAX_STEPS = 600  # of LIBERO's own evaluation, as is the next
SETTLING_STEPS = 5
NUM_ACTION_DIMS = 7
FOLDERS = {"benchmark_root": ".", "bddl_files": "bddl_files", "init_states": "init_files", "assets": "assets"}
HOST_PATH = re.compile(r"/[^\"'\s]*?/(libero/libero/assets|robosuite/models/assets)/")  # in the XML of a recording
OLD_ASSETS = re.compile(r"/[^\"'\s]*?/chiliocosm/assets/")  # LIBERO's name while its own demos were recorded


class Libero:
    """The `libero` simulator."""

    name = "libero"
    package = "libero"
    hint = (
        "Install it with `pip install hf-libero` in an environment of its own, as it replaces packages of this one, "
        "and name that one's interpreter: --simulator-python PATH."
    )

    def make(self, options: EnvironmentOptions) -> "LiberoEnvironment":
        """See `Simulator.make`."""
        folder = _configure()
        suite, _, task = options.task.partition("/")
        problem = folder / "bddl_files" / suite / f"{task}.bddl"
        if not problem.is_file():
            suites = ", ".join(sorted(path.name for path in (folder / "bddl_files").iterdir()))
            raise SimulatorError(
                f"LIBERO has no task {options.task!r}.", hint=f"A task is SUITE/TASK; its suites: {suites}."
            )
        return LiberoEnvironment(options, problem)


SIMULATOR = Libero()


def _configure() -> Path:
    """LIBERO's folder. Configures it for now where it is not, as its first import would ask on the terminal."""
    found = importlib.util.find_spec("libero")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(next(iter(found.submodule_search_locations))) / "libero"
    config = Path(os.environ.get("LIBERO_CONFIG_PATH", "~/.libero")).expanduser() / "config.yaml"
    if not config.is_file():
        temporary = tempfile.mkdtemp(prefix="libero-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        lines = [f"{key}: {folder / name}" for key, name in {**FOLDERS, "datasets": "../datasets"}.items()]
        (Path(temporary) / "config.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.environ["LIBERO_CONFIG_PATH"] = temporary
    return folder


class LiberoEnvironment:
    """One task."""

    def __init__(self, options: EnvironmentOptions, problem: Path) -> None:
        import robosuite
        from libero.libero import get_assets_path
        from libero.libero.envs import OffScreenRenderEnv
        from robosuite.utils.transform_utils import quat2axisangle

        self._options, self._problem = options, problem
        self._axis_angle = quat2axisangle
        self._assets = {
            "libero/libero/assets": Path(get_assets_path()),
            "robosuite/models/assets": Path(robosuite.__file__).parent / "models" / "assets",
        }
        self._world: Any = OffScreenRenderEnv(
            bddl_file_name=str(problem),
            camera_names=list(options.cameras.values()),
            camera_heights=options.size,
            camera_widths=options.size,
            control_freq=FPS,
            horizon=MAX_STEPS + SETTLING_STEPS,
        )
        self._world.seed(0)
        self._world.reset()

    @property
    def info(self) -> TaskInfo:
        """See `Environment.info`."""
        return TaskInfo(
            instruction=self._world.language_instruction,
            fps=FPS,
            action_space="osc_pose_action",
            state_space="libero_panda_state",
            max_steps=MAX_STEPS,
        )

    def reset(self, seed: int) -> Observation:
        """See `Environment.reset`. Seeds beyond the benchmark's states begin again at the first."""
        import torch

        suite, task = self._problem.parent.name, self._problem.stem
        path = self._problem.parents[2] / "init_files" / suite / f"{task}.pruned_init"
        states = torch.load(path, weights_only=False)
        self._world.reset()
        self._world.set_init_state(states[seed % len(states)])
        for _ in range(SETTLING_STEPS):
            seen, *_ = self._world.step(np.zeros(NUM_ACTION_DIMS))
        return self._observation(seen)

    def step(self, action: NDArray[np.floating]) -> Observation:
        """See `Environment.step`."""
        seen, *_ = self._world.step(action)
        return self._observation(seen)

    def load_scene(self, scene: Scene) -> None:
        """See `Playback.load_scene`."""
        xml = HOST_PATH.sub(lambda found: f"{self._assets[found[1]]}/", scene.model_xml)
        xml = OLD_ASSETS.sub(lambda _: f"{self._assets['libero/libero/assets']}/", xml)
        self._world.reset_from_xml_string(xml)
        self._world.sim.reset()

    def restore(self, state: NDArray[np.float64]) -> Observation:
        """See `Playback.restore`."""
        return self._observation(self._world.regenerate_obs_from_state(state))

    def close(self) -> None:
        """See `Environment.close`."""
        self._world.close()

    def _observation(self, seen: dict[str, NDArray[Any]]) -> Observation:
        cameras = self._options.cameras.items()
        state = (seen["robot0_eef_pos"], self._axis_angle(seen["robot0_eef_quat"]), seen["robot0_gripper_qpos"])
        return Observation(
            frames={name: np.ascontiguousarray(seen[f"{camera}_image"][::-1]) for name, camera in cameras},
            state=np.concatenate(state).astype(np.float64),
            success=bool(self._world.check_success()),
        )
