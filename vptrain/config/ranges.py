"""Which numbers a configuration takes: its fields and their limits enter; an error for what lies outside leaves."""

import math
from collections.abc import Mapping

from vptrain.errors import VptrainError


def check_least(config: object, least: Mapping[str, float]) -> None:
    """Makes sure that these fields are finite and at least so large; None and the items of a tuple are taken as said.

    Raises:
        VptrainError: one is not; the message names it.
    """
    for name, low in least.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is None:
                continue
            if number < low:
                raise VptrainError(f"{name} {number} is less than {'0' if low == 0 else f'{low:g}'}.")
            if not math.isfinite(number):
                raise VptrainError(f"{name} {number} is not a finite number.")
