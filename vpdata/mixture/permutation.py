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
    """A bijection of range(size).

    Attributes:
        low_bits: width of the low Feistel half.
        low_mask, high_mask: of the two halves.
        round_keys: of two rounds each, one for either half.
    """

    size: int
    low_bits: int
    low_mask: int
    high_mask: int
    round_keys: tuple[tuple[int, int], ...]

    def __getitem__(self, index: int) -> int:
        """Where `index` goes. Raises IndexError outside [0, size)."""
        if not 0 <= index < self.size:
            raise IndexError(f"{index} is not in [0, {self.size})")
        value = self._step(index)
        while value >= self.size:
            value = self._step(value)
        return value

    def _step(self, value: int) -> int:
        """One pass through the network.

        The round function is the finalizer of SplitMix64 (Steele, Lea and Flood 2014, variant 13 of Stafford), written
        out because a call would take longer than what it does.
        """
        low_mask, high_mask = self.low_mask, self.high_mask
        low, high = value & low_mask, value >> self.low_bits
        for low_key, high_key in self.round_keys:
            mixed = high + low_key
            mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK64
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK64
            low ^= (mixed ^ mixed >> 31) & low_mask
            mixed = low + high_key
            mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK64
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK64
            high ^= (mixed ^ mixed >> 31) & high_mask
        return high << self.low_bits | low


@lru_cache(maxsize=4096)
def permutation(size: int, *, key: tuple[int | str, ...]) -> Permutation:
    """An order of `size` things that depends on every part of the key; 0 < size <= 2**64."""
    if not 0 < size <= 2**64:
        raise ValueError(f"no permutation of {size} things")
    bits = (size - 1).bit_length()
    low_bits, high_bits = bits - bits // 2, bits // 2
    keys = [keyed_integer("permutation", *key, i) & _MASK64 for i in range(_NUM_ROUNDS)]
    return Permutation(
        size=size,
        low_bits=low_bits,
        low_mask=(1 << low_bits) - 1,
        high_mask=(1 << high_bits) - 1,
        round_keys=tuple(zip(keys[::2], keys[1::2], strict=True)),
    )
