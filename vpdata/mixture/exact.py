"""Texts and counts enter, exact numbers leave, and the other way round: the same on every machine."""

import json
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

from vpdata.errors import MixtureError

_WORKING = Context(prec=40, rounding=ROUND_HALF_EVEN)
_ROUNDED = Context(prec=12, rounding=ROUND_HALF_EVEN)


def fraction(text: str) -> Fraction:
    """An exact number from `0.7`, `2` or `1/3`. Raises MixtureError for anything else."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise MixtureError(f"{text!r} is not a number.", hint="Write it like 0.7 or 1/3.") from None


def tempered(count: int, temperature: Fraction) -> Fraction:
    """count ** (1 / temperature), rounded to 12 significant digits; count and temperature are positive.

    Decimal's `ln` and `exp` are correctly rounded, so no machine's floating point has a say.
    """
    exponent = _WORKING.divide(Decimal(temperature.denominator), Decimal(temperature.numerator))
    power = _WORKING.exp(_WORKING.multiply(_WORKING.ln(Decimal(count)), exponent))
    return Fraction(_ROUNDED.plus(power))


def toml_number(value: Fraction) -> str:
    """The shortest exact TOML value: `2`, `0.7`, or text like `"1/3"` where no decimal number is exact."""
    if value.denominator == 1:
        return str(value.numerator)
    scale = next((digits for digits in range(1, 19) if 10**digits % value.denominator == 0), None)
    if scale is None:
        return json.dumps(str(value))
    return f"{Decimal(value.numerator * (10**scale // value.denominator)).scaleb(-scale):f}"
