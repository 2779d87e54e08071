"""The one function of it that is used."""

import numpy as np


def quat2axisangle(quat):
    assert quat[3] == 1
    return np.zeros(3)
