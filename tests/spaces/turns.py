"""Rotations for tests, as matrices made without the code under test."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

EPSILONS = (0.0, 1e-300, 1e-17, 1e-12, 1e-9, 1e-7, 1e-4)
ANGLES = st.one_of(
    st.floats(-7, 7),
    st.builds(
        lambda turns, epsilon: turns * np.pi + epsilon, st.sampled_from((-2, -1, 0, 1, 2)), st.sampled_from(EPSILONS)
    ),
    st.builds(lambda quarters, epsilon: quarters * np.pi / 2 - epsilon, st.integers(-4, 4), st.sampled_from(EPSILONS)),
)
COMPONENTS = st.one_of(st.sampled_from((0.0, 1.0, -1.0, 1e-9)), st.floats(-1, 1))
AXES = (
    st.tuples(COMPONENTS, COMPONENTS, COMPONENTS)
    .map(np.array)
    .filter(lambda axis: np.linalg.norm(axis) > 1e-3)
    .map(lambda axis: axis / np.linalg.norm(axis))
)


def matrix_of(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Rodrigues' formula, (3, 3)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: NDArray[np.float64] = np.eye(3) + np.sin(angle) * cross + 2 * np.sin(angle / 2) ** 2 * (cross @ cross)
    return turned
