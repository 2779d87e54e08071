"""Random numbers of windows: a seed and the windows' keys enter, tensors of noise leave.

The numbers of a window follow from the seed, the purpose and its own key, and from no other window. So neither the
number of devices, nor how a step's windows are split into batches, changes what is trained. A CPU and a GPU draw
different numbers.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The draws of some windows.

    Attributes:
        seed: any text; another seed gives independent numbers.
        keys: one a window; its position in the stream, or its place in a list.
        device: where to draw.
    """

    seed: str
    keys: tuple[int, ...]
    device: torch.device

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """float32 (len(keys), *shape), standard normal; another purpose gives independent numbers."""
        each = self._generators(purpose)
        return torch.stack([torch.randn(tuple(shape), generator=one, device=self.device) for one in each])

    def uniform(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """float32 (len(keys), *shape) in [0, 1)."""
        each = self._generators(purpose)
        return torch.stack([torch.rand(tuple(shape), generator=one, device=self.device) for one in each])

    def _generators(self, purpose: str) -> list[torch.Generator]:
        return [generator(f"{self.seed}:{purpose}:{key}", self.device) for key in self.keys]


def generator(seed: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers follow from a text."""
    digest = hashlib.blake2b(seed.encode(), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little"))
