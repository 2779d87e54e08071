"""Spaces have the sizes that recordings have, and conversions are inverse where they can be."""

from pathlib import Path

import numpy as np
import pytest

from vpdata import spaces
from vpdata.errors import VpdataError

SIZES = {
    "robocasa_panda_omron_action": 12,
    "robocasa365_panda_omron_action": 12,
    "robocasa_panda_omron_state": 16,
    "osc_pose_action": 7,
    "libero_panda_state": 8,
    "robomimic_panda_state": 9,
    "aloha_action": 14,
    "aloha_state": 14,
    "droid_cartesian_velocity_action": 7,
    "droid_joint_velocity_action": 8,
    "droid_cartesian_position_action": 7,
    "droid_joint_position_action": 8,
    "droid_state": 14,
    "metaworld_action": 4,
    "metaworld_state": 4,
    "eef_pose_base_action": 10,
    "eef_pose_world_action": 10,
    "eef_delta_action": 7,
}


def test_every_space_has_its_size_and_kind() -> None:
    assert {name: spaces.load(name).size for name in spaces.names()} == SIZES
    for name in spaces.names():
        space = spaces.load(name)
        assert space.name == name
        assert name.endswith(space.kind)


def test_unknown_space_names_the_known_ones() -> None:
    with pytest.raises(VpdataError, match="osc_pose_action"):
        spaces.load("joint_torque")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_seven_to_twelve_and_back_is_exact(dtype: type[np.floating]) -> None:
    arm = np.random.default_rng(0).uniform(-1, 1, (3, 5, 7)).astype(dtype)
    full = spaces.convert(arm, "osc_pose_action", "robocasa_panda_omron_action")
    back = spaces.convert(full, "robocasa_panda_omron_action", "osc_pose_action")
    assert full.shape == (3, 5, 12)
    assert full.dtype == back.dtype == dtype
    np.testing.assert_array_equal(full[..., 7:], np.broadcast_to([0, 0, 0, 0, -1], (3, 5, 5)))
    np.testing.assert_array_equal(back, arm)


def test_arm_dimensions_mean_the_same_in_both_spaces() -> None:
    arm, full = spaces.load("osc_pose_action"), spaces.load("robocasa_panda_omron_action")
    assert full.dimensions[: arm.size] == arm.dimensions


def test_a_space_converts_to_itself() -> None:
    values = np.arange(28, dtype=np.float32).reshape(2, 14)
    assert spaces.convert(values, "aloha_action", "aloha_action") is values


def test_conversions_that_make_no_sense_are_refused() -> None:
    assert not spaces.can_convert("aloha_action", "osc_pose_action")
    with pytest.raises(VpdataError, match="no conversion from aloha_action"):
        spaces.convert(np.zeros((1, 14)), "aloha_action", "osc_pose_action")
    with pytest.raises(VpdataError, match="which has 12 columns"):
        spaces.convert(np.zeros((1, 7)), "robocasa_panda_omron_action", "osc_pose_action")


def test_columns_declare_a_space_by_its_name() -> None:
    name = spaces.name_of("action", ("shoulder_pan", "gripper.pos"))
    space = spaces.load(name)
    assert (space.name, space.kind, space.size) == (name, "action", 2)
    assert [dimension.name for dimension in space.dimensions] == ["shoulder_pan", "gripper.pos"]
    assert spaces.can_convert(name, name)
    assert not spaces.can_convert(name, spaces.name_of("action", ("gripper.pos", "shoulder_pan")))
    assert not spaces.can_convert(name, "osc_pose_action")
    for wrong in ("action:", "torque:a,b"):
        with pytest.raises(VpdataError, match="no action or state space"):
            spaces.load(wrong)


def test_every_space_is_described_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "SPACES.md").read_text()
    assert [name for name in spaces.names() if f"`{name}`" not in text] == []
