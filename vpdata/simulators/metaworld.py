"""Meta-World 3: 50 tasks of one Sawyer arm, each with a scripted expert that knows where the objects are.

Enters: a task's name (`drawer-open-v3`) and cameras. Leaves: an `Expert` environment. A seed decides where the objects
and the goal are, as `ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE` has it. Shadows are off: without a GPU they take most of
the time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SimulatorError
from vpdata.simulators import EnvironmentOptions, Expert, Observation, TaskInfo
from vpdata.simulators.metaworld_tasks import INSTRUCTIONS

CAMERAS = ("corner", "corner2", "corner3", "corner4", "topview", "behindGripper", "gripperPOV")
STATE_SIZE = 4  # of an observation: position of the hand, opening of the gripper
POINTS_DOWN = (
    -0.25
)  # of the camera's up axis along the world's z; the corner cameras have -0.5 to -1, all others 0 to 1


class MetaWorld:
    """The `metaworld` simulator."""

    name = "metaworld"
    package = "metaworld"
    hint = "Install it with `pip install 'vpdata[metaworld]'`, or name an interpreter that has it: --simulator-python."

    def make(self, options: EnvironmentOptions) -> Expert:
        """See `Simulator.make`."""
        if options.task not in INSTRUCTIONS:
            raise SimulatorError(
                f"Meta-World has no task {options.task!r}.", hint=f"Its tasks: {', '.join(INSTRUCTIONS)}."
            )
        return MetaWorldEnvironment(options)


SIMULATOR = MetaWorld()


class MetaWorldEnvironment:
    """One task; every `reset` builds its world anew, as Meta-World draws the goal when it does."""

    def __init__(self, options: EnvironmentOptions) -> None:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
        from metaworld.policies import ENV_POLICY_MAP

        self._options = options
        self._world_of_seed = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{options.task}-goal-observable"]
        self._controller = ENV_POLICY_MAP[options.task]()
        self._world: Any = None
        self._renderer: Any = None
        self._seen: NDArray[np.float64] = np.empty(0)
        self._build(seed=0)

    @property
    def info(self) -> TaskInfo:
        """See `Environment.info`."""
        return TaskInfo(
            instruction=INSTRUCTIONS[self._options.task],
            fps=float(1 / self._world.dt),
            action_space="metaworld_action",
            state_space="metaworld_state",
            max_steps=self._world.max_path_length,
        )

    def reset(self, seed: int) -> Observation:
        """See `Environment.reset`."""
        import mujoco

        self._build(seed)
        self._world.model.vis.quality.shadowsize = 0
        self._renderer = mujoco.Renderer(self._world.model, self._options.size, self._options.size)
        return self._observe(success=False)

    def step(self, action: NDArray[np.floating]) -> Observation:
        """See `Environment.step`."""
        return self._observe(success=self._advance(action))

    def expert(self) -> NDArray[np.float32]:
        """See `Expert.expert`."""
        bounds = self._world.action_space
        wanted: NDArray[np.float32] = np.clip(self._controller.get_action(self._seen), bounds.low, bounds.high)
        return wanted

    def rehearse(self, seed: int) -> int | None:
        """See `Expert.rehearse`."""
        self._build(seed)
        steps = range(1, self._world.max_path_length + 1)
        return next((step for step in steps if self._advance(self.expert())), None)

    def close(self) -> None:
        """See `Environment.close`."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self._world.close()

    def _build(self, seed: int) -> None:
        if self._world is not None:
            self.close()
        self._world = self._world_of_seed(seed=seed)
        self._seen, _ = self._world.reset()
        there = [self._world.model.camera(number).name for number in range(self._world.model.ncam)]
        for camera in self._options.cameras.values():
            if camera not in there:
                raise SimulatorError(
                    f"Meta-World has no camera {camera!r}.", hint=f"Choose with --camera: {', '.join(there)}."
                )

    def _advance(self, action: NDArray[np.floating]) -> bool:
        self._seen, _, _, _, told = self._world.step(action)
        return bool(told["success"])

    def _observe(self, *, success: bool) -> Observation:
        frames = {name: self._render(camera) for name, camera in self._options.cameras.items()}
        return Observation(frames=frames, state=self._seen[:STATE_SIZE].copy(), success=success)

    def _render(self, camera: str) -> NDArray[np.uint8]:
        data = self._world.data
        self._renderer.update_scene(data, camera=camera)
        pixels: NDArray[np.uint8] = self._renderer.render()
        up = data.camera(camera).xmat.reshape(3, 3)[:, 1]
        return np.ascontiguousarray(pixels[::-1, ::-1]) if up[2] < POINTS_DOWN else pixels
