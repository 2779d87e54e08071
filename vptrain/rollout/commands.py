"""What the action head predicts enters; what a robot is sent leaves, in the robot's own space."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata import spaces
from vptrain.errors import VptrainError
from vptrain.normalize import ActionNormalizer


def robot_commands(predicted: NDArray[Any], *, normalizer: ActionNormalizer, space: str) -> NDArray[np.float64]:
    """The inverse of how actions were brought from a robot's recordings to the head.

    Args:
        predicted: (..., D) normalised, as the head gives them; clipped to what was seen in training.
        normalizer: of the policy.
        space: name of the robot's own action space, for example `robocasa_panda_omron_action` for a policy that
            predicts `osc_pose_action`; what the policy does not say gets the constants that the space declares.

    Returns:
        (..., size of `space`), inside the range that the robot's interface takes.

    Raises:
        VptrainError: the policy's actions do not say what this robot has to do.
        VpdataError: a prediction is no finite number; the message names the dimension.
    """
    if reason := spaces.refusal(normalizer.space, space):
        raise VptrainError(
            f"a policy that predicts {normalizer.space} cannot command {space}: {reason}.",
            hint=f"`vpdata spaces {normalizer.space}` lists what it converts to.",
        )
    known = spaces.load(space)
    actions = normalizer.restore(np.asarray(predicted, dtype=np.float64))
    commands = known.clip(spaces.convert(actions, normalizer.space, space).astype(np.float64))
    known.check(commands)
    return commands.astype(np.float64)
