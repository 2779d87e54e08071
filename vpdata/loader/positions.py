"""Which global positions a process loads: a batch, a rank and a world size enter, a range of positions leaves.

The global batch of step s is positions [start + s*B, start + (s+1)*B), whatever the world size. A rank's share of it is
contiguous, ranks in order; where the world size does not divide it, shares differ by one.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Self

from vpdata.errors import LoaderError, MixtureError
from vpdata.mixture.mixture import Mixture


def share(first: int, stop: int, *, rank: int, world_size: int) -> range:
    """The positions of the global batch [first, stop) that a rank loads; empty where there are fewer than ranks."""
    size = stop - first
    return range(first + size * rank // world_size, first + size * (rank + 1) // world_size)


def rank_and_world_size(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """What `torchrun` says in RANK and WORLD_SIZE; (0, 1) where neither is set.

    Raises:
        LoaderError: one is missing, or they are not a rank and a world size.
    """
    texts = environment.get("RANK"), environment.get("WORLD_SIZE")
    if texts == (None, None):
        return 0, 1
    try:
        rank, world_size = (int(str(text)) for text in texts)
    except ValueError:
        rank, world_size = -1, 0
    if not 0 <= rank < world_size:
        raise LoaderError(
            f"RANK={texts[0]} and WORLD_SIZE={texts[1]} in the environment are no rank and world size.",
            hint="Start with torchrun, or unset both.",
        )
    return rank, world_size


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSampler:
    """Lists of the global positions that a rank loads, a list a step: a `batch_sampler` for a torch DataLoader.

    Attributes:
        start: the first position, >= 0.
        stop: the position to end before; None: never end.
        batch_size: positions of a step, over all ranks; the last step before `stop` may have fewer.
        rank, world_size: this process, of how many.
    """

    start: int
    stop: int | None
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.start < 0 or self.batch_size < 1 or not 0 <= self.rank < self.world_size:
            raise ValueError(f"{self} makes no batches")

    def batch(self, step: int) -> range | None:
        """The positions of step 0, 1, ...; None after the last. Empty where a short batch has none for this rank."""
        first = self.start + step * self.batch_size
        if self.stop is not None and first >= self.stop:
            return None
        stop = first + self.batch_size
        return share(
            first, stop if self.stop is None else min(stop, self.stop), rank=self.rank, world_size=self.world_size
        )

    def __iter__(self) -> Iterator[list[int]]:
        step = 0
        while (positions := self.batch(step)) is not None:
            yield list(positions)
            step += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderState:
    """All that a run needs to go on where it stopped, on any number of ranks and workers.

    Attributes:
        digest: of the mixture.
        position: windows consumed, over all ranks: where to start.
    """

    digest: str
    position: int

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))

    def check(self, mixture: Mixture, *, allow_changed: bool = False) -> None:
        """Makes sure that the position means the same windows.

        Args:
            mixture: the one to go on with.
            allow_changed: accept another mixture, and with it another order from here on.

        Raises:
            MixtureError: the mixture is another one.
        """
        if mixture.digest != self.digest and not allow_changed:
            raise MixtureError(
                f"the mixture is another one than this state was saved with ({mixture.digest[:12]}… where the state "
                f"says {self.digest[:12]}…): position {self.position} would show other windows.",
                hint="Restore the mixture file and its data sets, or pass allow_changed=True for another order.",
            )
