"""Rotations in the forms that robots' data uses, by way of unit quaternions.

Enters: arrays (..., n) of one form. Leaves: quaternions (..., 4) as x, y, z, w in float64, or another form of them.

A form is one of

* `axis-angle`: the axis times the angle in radians (3). Given back with an angle of at most pi.
* `quaternion xyzw`, `quaternion wxyz`: (4). Any length but 0 is taken; q and -q are one rotation. Given back with
  length 1 and w >= 0.
* `6-D`: the first column of the matrix, then the second (6); Zhou et al. (2019), "On the continuity of rotation
  representations in neural networks". Any two that are not parallel are taken, and made orthonormal in this order.
* `matrix`: row by row (9). Taken where it is a rotation.
* `euler xyz` and the like: three angles in radians. Lower case: one after the other about the fixed axes in the order
  of the letters; upper case: about the axes that turn along. The middle angle is given back in [-pi/2, pi/2], or in
  [0, pi] where the first and the last axis are the same; where the other two are not determined, any that fit.
"""

import re

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError

Form = str
Rows = NDArray[np.float64]

_SIZES = {"axis-angle": 3, "quaternion xyzw": 4, "quaternion wxyz": 4, "6-D": 6, "matrix": 9}
_EULER = re.compile(r"euler (?:([xyz])(?!\1)([xyz])(?!\2)([xyz])|([XYZ])(?!\4)([XYZ])(?!\5)([XYZ]))")
_TINY = 1e-9
_MATRIX_TOLERANCE = 1e-3


def size_of(form: Form) -> int:
    """Numbers of a rotation in that form. Raises ValueError for an unknown one."""
    if _EULER.fullmatch(form):
        return 3
    if form not in _SIZES:
        raise ValueError(f"there is no rotation form {form!r}")
    return _SIZES[form]


def to_quaternion(values: Rows, form: Form) -> Rows:
    """(..., n) of that form as unit quaternions (..., 4), x, y, z, w, in float64.

    Raises:
        VpdataError: a row is no rotation.
    """
    values = np.asarray(values, dtype=np.float64)
    match form:
        case "axis-angle":
            half = np.linalg.norm(values, axis=-1, keepdims=True) / 2
            return np.concatenate([values * np.sinc(half / np.pi) / 2, np.cos(half)], axis=-1)
        case "quaternion xyzw":
            return _unit(values, form)
        case "quaternion wxyz":
            return _unit(values[..., [1, 2, 3, 0]], form)
        case "6-D":
            first = _unit(values[..., :3], form)
            second = values[..., 3:] - np.sum(first * values[..., 3:], axis=-1, keepdims=True) * first
            second = _unit(second, form)
            return _of_matrix(np.stack([first, second, np.cross(first, second)], axis=-1))
        case "matrix":
            matrix = values.reshape(*values.shape[:-1], 3, 3)
            error = np.abs(matrix @ np.swapaxes(matrix, -1, -2) - np.eye(3)).max(axis=(-1, -2))
            if not (np.all(error < _MATRIX_TOLERANCE) and np.all(np.linalg.det(matrix) > 0)):
                raise VpdataError("a matrix of the values is no rotation: its columns are not orthonormal.")
            return _of_matrix(matrix)
        case _:
            return _of_angles(values, _fixed_axes(form), is_intrinsic=form[-1].isupper())


def from_quaternion(quaternions: Rows, form: Form) -> Rows:
    """The inverse of `to_quaternion`, for unit quaternions (..., 4)."""
    positive = np.where(quaternions[..., 3:] < 0, -quaternions, quaternions)
    match form:
        case "axis-angle":
            sine = np.linalg.norm(positive[..., :3], axis=-1, keepdims=True)
            angle = 2 * np.arctan2(sine, positive[..., 3:])
            return positive[..., :3] * np.where(sine > 0, angle / np.where(sine > 0, sine, 1), 2)
        case "quaternion xyzw":
            return positive
        case "quaternion wxyz":
            return positive[..., [3, 0, 1, 2]]
        case "6-D":
            matrix = _to_matrix(positive)
            return np.concatenate([matrix[..., 0], matrix[..., 1]], axis=-1)
        case "matrix":
            return _to_matrix(positive).reshape(*positive.shape[:-1], 9)
        case _:
            return _to_angles(positive, _fixed_axes(form), is_intrinsic=form[-1].isupper())


def reordered(source: Form, target: Form) -> list[int] | None:
    """The columns of `source` that make `target` where both are quaternions, None otherwise."""
    orders = {
        ("quaternion xyzw", "quaternion wxyz"): [3, 0, 1, 2],
        ("quaternion wxyz", "quaternion xyzw"): [1, 2, 3, 0],
    }
    return orders.get((source, target))


def compose(outer: Rows, inner: Rows) -> Rows:
    """The quaternion that turns by `inner` and then by `outer`, both (..., 4)."""
    u, v = outer[..., :3], inner[..., :3]
    a, b = outer[..., 3:], inner[..., 3:]
    return np.concatenate([a * v + b * u + np.cross(u, v), a * b - np.sum(u * v, axis=-1, keepdims=True)], axis=-1)


def invert(quaternions: Rows) -> Rows:
    """The quaternion (..., 4) that turns back."""
    return np.concatenate([-quaternions[..., :3], quaternions[..., 3:]], axis=-1)


def turn(quaternions: Rows, vectors: Rows) -> Rows:
    """Vectors (..., 3) turned by unit quaternions (..., 4)."""
    axis = quaternions[..., :3]
    twice = 2 * np.cross(axis, vectors)
    return vectors + quaternions[..., 3:] * twice + np.cross(axis, twice)


def _unit(values: Rows, form: Form) -> Rows:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    if not np.all(length > _TINY):
        raise VpdataError(f"a {form} rotation of the values is none: it has no length, or no direction.")
    unit: Rows = values / length
    return unit


def _to_matrix(q: Rows) -> Rows:
    """Its columns are the axes, turned."""
    return np.stack([turn(q, np.broadcast_to(axis, (*q.shape[:-1], 3))) for axis in np.eye(3)], axis=-1)


def _of_matrix(m: Rows) -> Rows:
    """Four times the products of the quaternion's components by twos; the row of the largest is the most precise."""
    x, y, z = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    xw, yw, zw = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    rows = [
        [1 + x - y - z, xy, xz, xw],
        [xy, 1 - x + y - z, yz, yw],
        [xz, yz, 1 - x - y + z, zw],
        [xw, yw, zw, 1 + x + y + z],
    ]
    products = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    largest = np.argmax(np.diagonal(products, axis1=-2, axis2=-1), axis=-1)[..., None, None]
    return _unit(np.take_along_axis(products, largest, axis=-2)[..., 0, :], "matrix")


def _fixed_axes(form: Form) -> tuple[int, int, int]:
    """The axes in the order in which they are turned about, if all stand still."""
    size_of(form)
    first, second, third = ("xyz".index(letter) for letter in form[-3:].lower())
    return (third, second, first) if form[-1].isupper() else (first, second, third)


def _of_angles(angles: Rows, axes: tuple[int, int, int], *, is_intrinsic: bool) -> Rows:
    ordered = angles[..., ::-1] if is_intrinsic else angles
    total = np.broadcast_to(np.array([0.0, 0.0, 0.0, 1.0]), (*angles.shape[:-1], 4))
    for i, axis in enumerate(axes):
        single = np.zeros_like(total)
        single[..., axis], single[..., 3] = np.sin(ordered[..., i] / 2), np.cos(ordered[..., i] / 2)
        total = compose(single, total)
    return total


def _to_angles(q: Rows, axes: tuple[int, int, int], *, is_intrinsic: bool) -> Rows:
    """After Bernardes and Viollet (2022), "Quaternion to Euler angles conversion: a direct, general and computationally
    efficient method"; by arc tangents alone, so that no angle loses precision.
    """
    i, j, k = axes
    is_proper = i == k
    k = 3 - i - j
    sign = (i - j) * (j - k) * (k - i) / 2
    a, b, c, d = q[..., 3], q[..., i], q[..., j], sign * q[..., k]
    if not is_proper:
        a, b, c, d = a - c, b + d, c + a, d - b
    plus, minus = np.arctan2(b, a), np.arctan2(d, c)
    middle = 2 * np.arctan2(np.hypot(c, d), np.hypot(a, b))
    first, last = plus - minus, plus + minus
    if not is_proper:
        middle, last = middle - np.pi / 2, sign * last
    angles = np.stack([_wrapped(first), middle, _wrapped(last)], axis=-1)
    return angles[..., ::-1] if is_intrinsic else angles


def _wrapped(angles: Rows) -> Rows:
    """The same angles in [-pi, pi]."""
    return angles - 2 * np.pi * np.round(angles / (2 * np.pi))
