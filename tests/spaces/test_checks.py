"""What a robot's interface takes: values are refused by the name of their dimension, or clipped."""

import numpy as np
import pytest

from vpdata import spaces
from vpdata.errors import VpdataError

ARM = spaces.load("osc_pose_action")


def test_names_and_columns_are_those_of_the_dimensions() -> None:
    assert ARM.names[5:] == ("delta_axis_angle_z", "gripper")
    assert [(group.title, columns) for group, columns in ARM.columns()] == [
        ("eef position", slice(0, 3)),
        ("eef rotation", slice(3, 6)),
        ("gripper", slice(6, 7)),
    ]
    assert [(d.scale, d.plain_unit) for d in ARM.dimensions[2:4]] == [(0.05, "m"), (0.5, "rad")]
    assert [group.frame for group in ARM.groups] == ["base", "base", ""]
    assert {group.frame for group in spaces.load("aloha_state").groups} == {"joint", ""}


def test_values_inside_the_range_and_a_little_outside_pass() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (2, 5, 7)).astype(np.float32)
    values[0, 0, 2] = 1.0015
    ARM.check(values)
    with pytest.raises(VpdataError, match=r"delta_z is 1.0015 in row 0, 0, outside the \[-1, 1\] of osc_pose_action"):
        ARM.check(values, tolerance=1e-4)


def test_the_first_dimension_outside_is_named() -> None:
    values = np.zeros((2, 5, 7))
    values[1, 3, 5], values[0, 4, 6] = -1.5, 2
    with pytest.raises(VpdataError, match=r"delta_axis_angle_z is -1\.5 in row 1, 3, outside"):
        ARM.check(values)
    with pytest.raises(VpdataError, match="gripper is 2, outside"):
        ARM.check(values[0, 4])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_named(value: float) -> None:
    values = np.zeros((3, 14))
    values[2, 7] = value
    with pytest.raises(VpdataError, match=f"right_waist is {value} in row 2; it must be a finite number"):
        spaces.load("aloha_action").check(values)


def test_an_array_of_another_size_is_refused() -> None:
    with pytest.raises(VpdataError, match=r"shape \(3, 6\) are not in osc_pose_action, which has 7 columns"):
        ARM.check(np.zeros((3, 6)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping_keeps_what_has_no_range(dtype: type[np.floating]) -> None:
    aloha = spaces.load("aloha_action")
    values = np.full((2, 14), 9, dtype=dtype)
    clipped = aloha.clip(values)
    assert clipped.dtype == dtype
    aloha.check(clipped)
    np.testing.assert_array_equal(clipped[:, [6, 13]], 1)
    np.testing.assert_array_equal(np.delete(clipped, [6, 13], axis=1), 9)
    np.testing.assert_array_equal(values, 9)
