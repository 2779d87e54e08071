"""Rotation forms against matrices made otherwise, and as inverse pairs, also where they are singular.

Tolerances are of matrix elements. float32 values carry half a unit in their last place of up to 2 pi.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from turns import ANGLES, AXES, matrix_of

from vpdata.errors import VpdataError
from vpdata.spaces import rotation

SEQUENCES = ["".join(axes) for axes in itertools.product("xyz", repeat=3) if axes[0] != axes[1] != axes[2]]
EULER = [f"euler {sequence}" for axes in SEQUENCES for sequence in (axes, axes.upper())]
FORMS = ["axis-angle", "quaternion xyzw", "quaternion wxyz", "6-D", "matrix", *EULER]
TOLERANCE = {np.float64: 1e-12, np.float32: 2e-6}


def as_matrix(values: NDArray[np.floating], form: str) -> NDArray[np.float64]:
    return rotation.from_quaternion(rotation.to_quaternion(values.astype(float), form), "matrix").reshape(3, 3)


def by_hand(form: str, matrix: NDArray[np.float64], axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """The numbers of forms that are simple to write down."""
    quaternion = np.array([*(axis * np.sin(angle / 2)), np.cos(angle / 2)])
    return {
        "axis-angle": axis * angle,
        "quaternion xyzw": quaternion,
        "quaternion wxyz": np.roll(quaternion, 1),
        "6-D": matrix[:, :2].T.ravel(),
        "matrix": matrix.ravel(),
    }[form]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=50)
@given(axis=AXES, angle=ANGLES)
def test_every_form_is_read_and_given_back(dtype: type[np.floating], axis: NDArray[np.float64], angle: float) -> None:
    matrix = matrix_of(axis, angle)
    for form in FORMS[:5]:
        values = by_hand(form, matrix, axis, angle).astype(dtype)
        np.testing.assert_allclose(as_matrix(values, form), matrix, atol=TOLERANCE[dtype], err_msg=form)
    quaternion = rotation.to_quaternion(matrix.reshape(9), "matrix")
    for form in FORMS:
        values = rotation.from_quaternion(quaternion, form).astype(dtype)
        assert values.shape == (rotation.size_of(form),)
        np.testing.assert_allclose(as_matrix(values, form), matrix, atol=TOLERANCE[dtype], err_msg=form)


@pytest.mark.parametrize("form", EULER)
@settings(max_examples=40)
@given(a=ANGLES, b=ANGLES, c=ANGLES)
def test_euler_angles_turn_about_fixed_or_moving_axes(form: str, a: float, b: float, c: float) -> None:
    angles, letters = np.array([a, b, c]), form[-3:]
    single = [
        matrix_of(np.eye(3)["xyz".index(letter)], angle) for letter, angle in zip(letters.lower(), angles, strict=True)
    ]
    matrix = single[0] @ single[1] @ single[2] if letters.isupper() else single[2] @ single[1] @ single[0]
    np.testing.assert_allclose(as_matrix(angles, form), matrix, atol=1e-12)
    back = rotation.from_quaternion(rotation.to_quaternion(angles, form), form)
    np.testing.assert_allclose(as_matrix(back, form), matrix, atol=1e-12)
    low, high = (0, np.pi) if letters[0] == letters[2] else (-np.pi / 2, np.pi / 2)
    assert low - 1e-12 <= back[1] <= high + 1e-12


@given(axis=AXES, angle=ANGLES)
def test_both_signs_of_a_quaternion_are_one_rotation(axis: NDArray[np.float64], angle: float) -> None:
    quaternion = by_hand("quaternion xyzw", np.eye(3), axis, angle)
    for form in FORMS[:7]:
        one, other = (rotation.from_quaternion(sign * quaternion, form) for sign in (1, -1))
        np.testing.assert_allclose(as_matrix(one, form), as_matrix(other, form), atol=1e-12)
    assert rotation.from_quaternion(quaternion, "quaternion xyzw")[3] >= 0


@given(axis=AXES, angle=ANGLES)
def test_an_axis_angle_comes_back_as_the_shortest(axis: NDArray[np.float64], angle: float) -> None:
    back = rotation.from_quaternion(rotation.to_quaternion(axis * angle, "axis-angle"), "axis-angle")
    assert np.linalg.norm(back) <= np.pi + 1e-12
    if abs(angle) < np.pi - 1e-9:
        np.testing.assert_allclose(back, axis * angle, rtol=1e-12, atol=1e-15)


@given(axis=AXES, angle=ANGLES, other_axis=AXES, other=ANGLES)
def test_turns_are_composed_and_undone_as_matrices_are(
    axis: NDArray[np.float64], angle: float, other_axis: NDArray[np.float64], other: float
) -> None:
    p, q = (rotation.to_quaternion(a * b, "axis-angle") for a, b in ((axis, angle), (other_axis, other)))
    outer, inner = matrix_of(axis, angle), matrix_of(other_axis, other)
    composed = rotation.from_quaternion(rotation.compose(p, q), "matrix").reshape(3, 3)
    np.testing.assert_allclose(composed, outer @ inner, atol=1e-12)
    np.testing.assert_allclose(rotation.turn(p, other_axis), outer @ other_axis, atol=1e-12)
    np.testing.assert_allclose(rotation.turn(rotation.invert(p), rotation.turn(p, axis)), axis, atol=1e-12)


def test_many_at_once_are_as_one_by_one() -> None:
    quaternions = np.random.default_rng(0).normal(size=(2, 3, 4))
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    for form in FORMS:
        values = rotation.from_quaternion(quaternions, form)
        assert values.shape == (2, 3, rotation.size_of(form))
        back = rotation.to_quaternion(values, form)
        for place in np.ndindex(2, 3):
            np.testing.assert_array_equal(values[place], rotation.from_quaternion(quaternions[place], form))
            np.testing.assert_allclose(back[place], rotation.to_quaternion(values[place], form), atol=1e-15)


def test_six_numbers_are_made_orthonormal_first_column_first() -> None:
    matrix = as_matrix(np.array([2.0, 0, 0, 5, 3, 0]), "6-D")
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-15)


@pytest.mark.parametrize(
    ("form", "values", "message"),
    [
        ("quaternion xyzw", [0, 0, 0, 0], "no length"),
        ("quaternion wxyz", [np.nan, 0, 0, 0], "no length"),
        ("6-D", [0, 0, 0, 1, 0, 0], "no length"),
        ("6-D", [1, 0, 0, -2, 0, 0], "no length, or no direction"),
        ("matrix", [1, 0, 0, 0, 1, 0, 0, 0, -1], "not orthonormal"),
        ("matrix", [1, 0, 0, 0, 1, 0, 0, 0.1, 1], "not orthonormal"),
        ("matrix", [np.nan] * 9, "not orthonormal"),
    ],
)
def test_what_is_no_rotation_is_refused(form: str, values: list[float], message: str) -> None:
    with pytest.raises(VpdataError, match=message):
        rotation.to_quaternion(np.array([[1.0] + [0.0] * (len(values) - 1), values])[1:], form)


@pytest.mark.parametrize("form", ["quaternion", "euler xxy", "euler xYz", "euler yx", "rpy"])
def test_an_unknown_form_is_a_mistake_of_the_program(form: str) -> None:
    with pytest.raises(ValueError, match="no rotation form"):
        rotation.size_of(form)
