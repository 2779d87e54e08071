"""A size and a key enter; a random-access pseudo-random permutation of range(size) leaves, in O(1) memory.

A Feistel network (Luby and Rackoff 1988) permutes the next power of two; cycle walking (Black and Rogaway 2002) keeps
what falls below `size`, after fewer than two steps on average.
"""

from dataclasses import dataclass
from functools import lru_cache

from vpdata.mixture.hashing import keyed_integer

_MASK64 = 2**64 - 1
_NUM_ROUNDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Permutation:
    """A bijection of range(size); `low_bits` and `high_bits` are the widths of the two Feistel halves."""

    size: int
    low_bits: int
    high_bits: int
    round_keys: tuple[int, ...]

    def __getitem__(self, index: int) -> int:
        """Where `index` goes. Raises IndexError outside [0, size)."""
        if not 0 <= index < self.size:
            raise IndexError(f"{index} is not in [0, {self.size})")
        value = self._step(index)
        while value >= self.size:
            value = self._step(value)
        return value

    def _step(self, value: int) -> int:
        low_mask = (1 << self.low_bits) - 1
        high_mask = (1 << self.high_bits) - 1
        low, high = value & low_mask, value >> self.low_bits
        for i in range(0, _NUM_ROUNDS, 2):
            low ^= _mix(high + self.round_keys[i]) & low_mask
            high ^= _mix(low + self.round_keys[i + 1]) & high_mask
        return high << self.low_bits | low


def _mix(value: int) -> int:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014, variant 13 of Stafford)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK64
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK64
    return value ^ value >> 31


@lru_cache(maxsize=1024)
def permutation(size: int, *, seed: int, component: str, epoch: int) -> Permutation:
    """The order in which one component shows its `size` windows in one epoch; 0 < size <= 2**64."""
    if not 0 < size <= 2**64:
        raise ValueError(f"no permutation of {size} things")
    bits = (size - 1).bit_length()
    return Permutation(
        size=size,
        low_bits=bits - bits // 2,
        high_bits=bits // 2,
        round_keys=tuple(keyed_integer("permutation", seed, component, epoch, i) & _MASK64 for i in range(_NUM_ROUNDS)),
    )
