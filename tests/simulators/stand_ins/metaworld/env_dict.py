"""The worlds, one a seed."""

import os
import time
from types import SimpleNamespace

import mujoco
import numpy as np

CAMERAS = ("corner", "gripperPOV")
UP = np.eye(3).reshape(9)
TURNED = np.diag([-1.0, 1.0, -1.0])[:, [0, 2, 1]].reshape(9)  # its up axis points down


class World:
    dt = 0.0125
    max_path_length = 12

    def __init__(self, task, *, seed):
        self._task, self._seed = task, seed
        self.action_space = SimpleNamespace(low=np.full(4, -1, np.float32), high=np.full(4, 1, np.float32))
        names = [SimpleNamespace(name=name) for name in CAMERAS]
        quality = SimpleNamespace(shadowsize=4096)
        self.model = SimpleNamespace(ncam=2, camera=names.__getitem__, vis=SimpleNamespace(quality=quality))
        axes = {name: TURNED if name in mujoco.DOWN else UP for name in CAMERAS}
        self.data = SimpleNamespace(hand=np.zeros(2), camera=lambda name: SimpleNamespace(xmat=axes[name]))

    def reset(self):
        if (self._task, self._seed) == ("push-v3", 2):
            os.abort()
        if (self._task, self._seed) == ("door-open-v3", 1):
            time.sleep(600)
        self._goal = np.array([0.05, 0.04]) + 0.001 * self._seed
        self.data.hand = np.zeros(2)
        return self._seen(), {}

    def step(self, action):
        assert len(action) == 4
        assert np.abs(action).max() <= 1
        self.data.hand = self.data.hand + 0.01 * action[:2]
        reached = bool(np.abs(self._goal - self.data.hand).max() < 0.005)
        fails = self._task == "sweep-v3" or (self._task == "reach-v3" and self._seed % 3 == 2)
        return self._seen(), 0.0, False, False, {"success": float(reached and not fails)}

    def close(self):
        pass

    def _seen(self):
        return np.array([*self.data.hand, 0.0, 1.0, *self._goal])


ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE = {
    f"{task}-goal-observable": lambda seed, task=task: World(task, seed=seed)
    for task in ("reach-v3", "push-v3", "door-open-v3", "sweep-v3")
}
