"""RoboCasa 0.1 and 0.2: kitchens with the PandaOmron, put into recorded states by RoboCasa's own wrapper.

Enters: a task's name (`CloseDrawer`), cameras, and the `env_kwargs` of the recording. Leaves: a `Playback`. It follows
RoboCasa's `dataset_states_to_obs.py`, but for two of its options: textures and cameras are those of the recording.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata.simulators import EnvironmentOptions, Observation, Playback, Scene

STATE = (
    "robot0_base_pos",
    "robot0_base_quat",
    "robot0_base_to_eef_pos",
    "robot0_base_to_eef_quat",
    "robot0_gripper_qpos",
)
STATE_SIZES = (3, 4, 3, 4, 2)
ENVIRONMENT_TYPE = 1  # robosuite, in robomimic's enumeration


class RoboCasa:
    """The `robocasa` simulator."""

    name = "robocasa"
    package = "robocasa"
    hint = (
        "Install it and its assets as RoboCasa's README says, in an environment of its own, and name that one's "
        "interpreter: --simulator-python PATH."
    )

    def make(self, options: EnvironmentOptions) -> Playback:
        """See `Simulator.make`."""
        return RoboCasaPlayback(options)


SIMULATOR = RoboCasa()


class RoboCasaPlayback:
    """One task."""

    def __init__(self, options: EnvironmentOptions) -> None:
        import robocasa  # noqa: F401  (registers its environments)
        from robocasa.utils.robomimic import robomimic_env_utils

        self._options = options
        self._world: Any = robomimic_env_utils.create_env_for_data_processing(
            env_meta={"type": ENVIRONMENT_TYPE, "env_name": options.task, "env_kwargs": dict(options.settings)},
            camera_names=list(options.cameras.values()),
            camera_height=options.size,
            camera_width=options.size,
            reward_shaping=False,
        )

    def load_scene(self, scene: Scene) -> None:
        """See `Playback.load_scene`."""
        self._world.reset()
        self._world.reset_to({"model": scene.model_xml, "ep_meta": scene.episode_meta})

    def restore(self, state: NDArray[np.float64]) -> Observation:
        """See `Playback.restore`."""
        seen = self._world.reset_to({"states": state})
        cameras = self._options.cameras.items()
        return Observation(
            frames={name: np.ascontiguousarray(seen[f"{camera}_image"]) for name, camera in cameras},
            state=np.concatenate([seen[name] for name in STATE]).astype(np.float64),
            success=bool(self._world.is_success()["task"]),
        )

    def close(self) -> None:
        """See `Playback.close`."""
        self._world.env.close()


def settings_of(recorded: str) -> dict[str, Any]:
    """`EnvironmentOptions.settings` from the JSON `env_info` of RoboCasa's recorder: the robot is drawn solid."""
    return {**json.loads(recorded), "translucent_robot": False}
