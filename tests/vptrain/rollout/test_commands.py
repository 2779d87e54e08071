"""From recorded actions to what the head learns, and back to what the robot is sent."""

import numpy as np
import pytest
from micro import MICRO

from vpdata import spaces
from vpdata.errors import VpdataError
from vpdata.loader.window import Window
from vptrain.batch import make_batches
from vptrain.errors import VptrainError
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.commands import robot_commands

ROBOT = "robocasa_panda_omron_action"


def test_recorded_actions_come_back_as_the_robots_own(
    labelled_windows: list[Window], normalizer: ActionNormalizer
) -> None:
    (batch,) = make_batches(labelled_windows, normalizer=normalizer, image_size=MICRO.image_size)
    assert batch.actions_BAD is not None
    commands = robot_commands(batch.actions_BAD.numpy(), normalizer=normalizer, space=ROBOT)
    assert commands.shape == (6, MICRO.horizon, 12)
    for window, rows in zip(labelled_windows, commands, strict=True):
        assert window.actions is not None
        np.testing.assert_allclose(rows[window.action_mask], window.actions[window.action_mask], atol=1e-6)
        np.testing.assert_array_equal(rows[:, 7:], np.broadcast_to([0, 0, 0, 0, -1], (MICRO.horizon, 5)))


def test_wild_predictions_stay_inside_the_interface(normalizer: ActionNormalizer) -> None:
    wild = np.random.default_rng(0).normal(scale=10, size=(4, 7))
    commands = robot_commands(wild, normalizer=normalizer, space=ROBOT)
    spaces.load(ROBOT).check(commands, tolerance=0)


def test_a_prediction_that_is_no_number_is_never_sent(normalizer: ActionNormalizer) -> None:
    predicted = np.zeros((3, 7))
    predicted[1, 4] = np.nan
    with pytest.raises(VpdataError, match="delta_axis_angle_y is nan in row 1"):
        robot_commands(predicted, normalizer=normalizer, space=ROBOT)


def test_another_robot_is_refused_with_the_reason(normalizer: ActionNormalizer) -> None:
    with pytest.raises(VptrainError, match=r"cannot command aloha_action: .* nothing says the left_arm joints"):
        robot_commands(np.zeros((1, 7)), normalizer=normalizer, space="aloha_action")
