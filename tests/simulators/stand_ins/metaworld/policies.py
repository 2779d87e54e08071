"""The expert: straight to the goal, faster than is allowed."""

import numpy as np


class Policy:
    def get_action(self, seen):
        return np.array([*(100 * (seen[4:] - seen[:2])), 0, 1], np.float32)


ENV_POLICY_MAP = dict.fromkeys(("reach-v3", "push-v3", "door-open-v3", "sweep-v3"), Policy)
