"""Sound bytes and a random generator in, damaged bytes out.

Half of the damage begins in the first bytes of a structure of the file, so that headers, a small part of it, get their
share.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

HEADER_BYTES = 64
MAX_RUN_BYTES = 2048
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF, 2**64 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """Damaged bytes; `changed` is the range [start, stop) outside which they are the sound ones, None if they moved."""

    data: bytes
    changed: tuple[int, int] | None


Mutation = Callable[[bytes, Sequence[int], random.Random], Damaged]


def _place(data: bytes, places: Sequence[int], rng: random.Random) -> int:
    if rng.random() < 0.5:
        return min(rng.choice(places) + rng.randrange(HEADER_BYTES), len(data) - 1)
    return rng.randrange(len(data))


def _overwritten(data: bytes, start: int, new: bytes) -> Damaged:
    new = new[: len(data) - start]
    stop = start + len(new)
    return Damaged(data=data[:start] + new + data[stop:], changed=(start, stop))


def flip_bit(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:
    """One bit is another."""
    place = _place(data, places, rng)
    return _overwritten(data, place, bytes([data[place] ^ 1 << rng.randrange(8)]))


def zero_run(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:
    """Some bytes in a row are 0."""
    return _overwritten(data, _place(data, places, rng), bytes(_length(rng)))


def random_run(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:
    """Some bytes in a row are random."""
    return _overwritten(data, _place(data, places, rng), rng.randbytes(_length(rng)))


def edit_number(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:
    """A number of 1, 2, 4 or 8 bytes in the header of a structure is another, of either byte order."""
    place = min(rng.choice(places) + rng.randrange(HEADER_BYTES), len(data) - 1)
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(NUMBERS) % 256**size
    return _overwritten(data, place, number.to_bytes(size, rng.choice(("little", "big"))))


def truncate(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:  # noqa: ARG001
    """The end is missing."""
    return Damaged(data=data[: rng.randrange(len(data))], changed=None)


def truncate_at_structure(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:
    """The end is missing from the beginning of a structure on, or from a few bytes before or after it."""
    stop = rng.choice(places) + rng.choice((-4, -1, 0, 0, 0, 1, 4, 8))
    return Damaged(data=data[: max(0, min(stop, len(data) - 1))], changed=None)


def swap_blocks(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:
    """Two blocks of equal length have changed places."""
    length = min(_length(rng), len(data) // 4)
    first, second = sorted((_place(data, places, rng), _place(data, places, rng)))
    first, second = min(first, len(data) - 2 * length), min(max(second, first + length), len(data) - length)
    second = max(second, first + length)
    stop = second + length
    new = data[second:stop] + data[first + length : second] + data[first : first + length]
    return Damaged(data=data[:first] + new + data[stop:], changed=(first, stop))


def duplicate_block(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:
    """A block is there twice; what follows has moved."""
    start = _place(data, places, rng)
    stop = min(start + _length(rng), len(data))
    return Damaged(data=data[:stop] + data[start:], changed=None)


def remove_block(data: bytes, places: Sequence[int], rng: random.Random) -> Damaged:
    """A block is missing; what follows has moved."""
    start = _place(data, places, rng)
    return Damaged(data=data[:start] + data[start + _length(rng) :], changed=None)


def _length(rng: random.Random) -> int:
    return int(2 ** rng.uniform(0, MAX_RUN_BYTES.bit_length() - 1))


MUTATIONS: Mapping[str, Mutation] = {
    "bit flipped": flip_bit,
    "run zeroed": zero_run,
    "run randomised": random_run,
    "number edited": edit_number,
    "truncated": truncate,
    "truncated at a structure": truncate_at_structure,
    "blocks swapped": swap_blocks,
    "block duplicated": duplicate_block,
    "block removed": remove_block,
}


def damage(data: bytes, places: Sequence[int], kind: str, *, seed: str) -> Damaged:
    """One damaged version, the same for the same seed; never the sound bytes themselves."""
    rng = random.Random(seed)
    while True:
        found = MUTATIONS[kind](data, places, rng)
        if found.data != data:
            return found
