import math
from fractions import Fraction

import pytest

from vpdata.mixture.exact import tempered


@pytest.mark.parametrize("count", [1, 2, 7, 4711, 999_999_999_999])
def test_temperature_one_is_the_count_itself(count: int) -> None:
    assert tempered(count, Fraction(1)) == count


def test_powers_are_right_to_twelve_digits() -> None:
    assert tempered(144, Fraction(2)) == 12
    assert tempered(10**6, Fraction(3)) == 100
    assert tempered(5, Fraction(1, 3)) == 125
    for count in (2, 10, 12345, 10**9):
        for temperature in (Fraction(1, 2), Fraction(3, 2), Fraction(2), Fraction(10)):
            assert math.isclose(float(tempered(count, temperature)), count ** (1 / float(temperature)), rel_tol=1e-11)


def test_weights_are_the_same_in_every_release() -> None:
    assert tempered(12345, Fraction(7, 5)) == Fraction("836.553342427")
    assert tempered(2, Fraction(2)) == Fraction("1.41421356237")
