"""Grey frames in, 64-bit perceptual hashes out: frames that look alike have hashes that differ in few bits.

A bit is the sign of one of the 64 lowest frequencies of the frame's cosine transform (its mean left out). So brightness
and contrast do not matter, the size of the frame hardly does, and of a mirrored frame just the odd horizontal
frequencies change sign: the hash of the mirror image is that of the frame in which fixed bits are flipped.
"""

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 1
"""Counts up when a frame is hashed otherwise; kept hashes of another version are made again."""

FLAT: Final = 0
"""The hash of a frame that shows nothing: its contrast is below MIN_CONTRAST. It matches no frame."""

MIN_CONTRAST: Final = 2.0
"""Grey levels: root mean square of what the 64 frequencies contribute to the frame."""

_FREQUENCIES: Final = sorted(
    ((u, v) for u in range(10) for v in range(10) if u or v), key=lambda f: (f[0] ** 2 + f[1] ** 2, f)
)[:64]
_ROWS: Final = np.array([u for u, _ in _FREQUENCIES])
_COLUMNS: Final = np.array([v for _, v in _FREQUENCIES])
_NUM_FREQUENCIES: Final = int(max(_ROWS.max(), _COLUMNS.max())) + 1

_PLACES: Final = np.uint64(1) << np.arange(64, dtype=np.uint64)

MIRROR: Final = np.uint64(sum(1 << bit for bit, (_, v) in enumerate(_FREQUENCIES) if v % 2))
"""The bits that a mirror image has the other way round."""


def phash(grey: NDArray[np.uint8]) -> int:
    """The hash of one frame, uint8 (H, W): 0 <= hash < 2**64, FLAT where it shows nothing."""
    return int(phash_many(grey[None])[0])


def phash_many(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes (N,) of frames, uint8 (N, H, W)."""
    _, height, width = grey.shape
    lines = np.matmul(grey.astype(np.float32), _cosines(width).T)
    spectrum = np.matmul(_cosines(height), lines)[:, _ROWS, _COLUMNS]
    bits = (spectrum > 0).astype(np.uint64) @ _PLACES
    flat = np.square(spectrum).sum(axis=1) < MIN_CONTRAST**2
    return np.where(flat, np.uint64(FLAT), bits)


def mirrored(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes of the mirror images (left and right exchanged) of frames with these hashes; FLAT stays."""
    return np.where(hashes == FLAT, np.uint64(FLAT), hashes ^ MIRROR)


@lru_cache(maxsize=16)
def _cosines(size: int) -> NDArray[np.float32]:
    """(frequencies, size): the lowest cosines over `size` pixels (DCT-II), of mean square 1 / size each: over a frame
    the square of a coefficient is what its frequency adds to the mean square of the pixels."""
    angles = np.pi / size * np.outer(np.arange(_NUM_FREQUENCIES), np.arange(size) + 0.5)
    cosines: NDArray[np.float32] = np.cos(angles).astype(np.float32)
    cosines *= math.sqrt(2) / size
    cosines[0] /= math.sqrt(2)
    return cosines
