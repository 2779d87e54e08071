"""Rows of numbers in, their count, minimum, maximum, mean and standard deviation per dimension out; mergeable."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayStatistics:
    """Statistics of `count` rows, each a tuple with one value a dimension, in the rows' own units.

    `std` is the population's (divided by `count`); a dimension that never changes has min = max and std 0.
    """

    count: int
    min: tuple[float, ...]
    max: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.count < 1 or len({len(values) for values in (self.min, self.max, self.mean, self.std)}) != 1:
            raise ValueError(f"statistics of {self.count} rows with unequal dimensions")

    @classmethod
    def of(cls, rows: NDArray[Any]) -> Self:
        """Statistics of rows (N, D), N >= 1, computed in float64."""
        values = np.asarray(rows, np.float64)
        low, high = values.min(axis=0), values.max(axis=0)
        return cls(
            count=len(values),
            min=tuple(low.tolist()),
            max=tuple(high.tolist()),
            mean=tuple(np.clip(values.mean(axis=0), low, high).tolist()),
            std=tuple(np.where(low == high, 0.0, values.std(axis=0)).tolist()),
        )

    def merge(self, other: "ArrayStatistics") -> "ArrayStatistics":
        """Statistics of both sets of rows together.

        Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances".
        """
        if len(self.mean) != len(other.mean):
            raise ValueError(f"cannot merge {len(self.mean)} dimensions with {len(other.mean)}")
        count = self.count + other.count
        mean, other_mean = np.array(self.mean), np.array(other.mean)
        delta = other_mean - mean
        squares = self.count * np.square(self.std) + other.count * np.square(other.std)
        squares += np.square(delta) * (self.count * other.count / count)
        return ArrayStatistics(
            count=count,
            min=tuple(np.minimum(self.min, other.min).tolist()),
            max=tuple(np.maximum(self.max, other.max).tolist()),
            mean=tuple((mean + delta * (other.count / count)).tolist()),
            std=tuple(np.sqrt(squares / count).tolist()),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        lists = {name: tuple(float(number) for number in value[name]) for name in ("min", "max", "mean", "std")}
        return cls(count=int(value["count"]), **lists)
