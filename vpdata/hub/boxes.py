"""The place of an mp4 inside a file in, whether it says where it was recorded out. Reads its boxes and no frame.

ISO/IEC 14496-12: a box is a 32-bit size, a type, for size 1 a 64-bit size, and its content. Cameras and telephones
write `©xyz` (QuickTime) or `loci` (3GPP) into `udta`, or an entry `com.apple.quicktime.location.ISO6709` into `keys`.
"""

import os
from collections.abc import Iterator

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"udta"})
_LOCATIONS = frozenset({b"\xa9xyz", b"loci"})
_METADATA = b"meta"
_KEY = b"location.ISO6709"


def has_location(descriptor: int, start: int, stop: int) -> bool:
    """Whether bytes [start, stop) of an open file are an mp4 that carries coordinates."""
    for kind, first, last in _boxes(descriptor, start, stop):
        if kind in _LOCATIONS:
            return True
        if kind in _CONTAINERS and has_location(descriptor, first, last):
            return True
        if kind == _METADATA and _KEY in os.pread(descriptor, last - first, first):
            return True
    return False


def _boxes(descriptor: int, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Type and content [first, last) of the boxes in [start, stop), as far as they make sense."""
    while stop - start >= 8:
        header = os.pread(descriptor, 16, start)
        size, kind, length = int.from_bytes(header[:4]), header[4:8], 8
        if size == 1:
            size, length = int.from_bytes(header[8:16]), 16
        elif size == 0:
            size = stop - start  # the last box reaches to the end
        if size < length or start + size > stop:
            return
        yield kind, start + length, start + size
        start += size
