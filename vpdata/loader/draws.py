"""A seed, positions and a purpose enter; numbers in [0, 1) leave, for augmentation.

The numbers of a position do not depend on which other positions are asked for, so that neither the world size nor the
grouping of windows into batches changes them. They come from the counter-based generator Philox4x64-10 (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", 2011), keyed by seed and purpose, with the position in its counter.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray


def draws(seed: int, positions: Sequence[int], *, purpose: str, count: int) -> NDArray[np.float64]:
    """Independent uniform draws, a pure function of seed, position, purpose and column.

    Args:
        seed: any integer.
        positions: global positions, >= 0 and below 2**128.
        purpose: other purposes get independent draws.
        count: draws a position; the first ones do not depend on how many there are.

    Returns:
        float64 (len(positions), count) in [0, 1).
    """
    key = int.from_bytes(hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=16).digest(), "little")
    out = np.empty((len(positions), count))
    for row, position in zip(out, positions, strict=True):
        # The upper half of the 256-bit counter is the position, so that each has 2**128 blocks of its own.
        row[:] = Generator(Philox(key=key, counter=position << 128)).random(count)
    return out
