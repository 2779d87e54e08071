"""Codecs turn a camera's frames into one shard member and back. One file a codec; `load(name)` imports it."""

import importlib
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError

NAMES = ("h264", "ffv1", "jpeg", "av1", "raw")


class Codec(Protocol):
    """A way to store the frames of one camera of one clip.

    Encoding is deterministic: the same frames, fps and library versions give the same bytes.
    """

    name: str
    extension: str
    min_psnr_db: float
    """What a natural recording comes back with at least; infinity for a lossless codec."""

    def encode(self, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:
        """RGB `HWC` frames of one size, at least one, to the bytes of the member."""
        ...

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8]) -> None:
        """Writes the frames at `indices` (any order, repeats allowed) into `out`.

        `out` is RGB (len(indices), height, width, 3) of the size that was encoded, C-contiguous. May be called from
        several threads at once, and after a fork.

        Raises:
            ShardError: the bytes do not decode, have no such frame, or have frames of another size. `out` may then be
                partly written.
        """
        ...

    def decode(self, data: bytes, indices: Sequence[int], *, height: int, width: int) -> NDArray[np.uint8]:
        """The frames at `indices` as a new RGB array (len(indices), height, width, 3). Errors as `decode_into`."""
        out = np.empty((len(indices), height, width, 3), np.uint8)
        self.decode_into(data, indices, out)
        return out

    def count(self, data: bytes) -> int:
        """Decodes everything and returns the number of frames."""
        ...


def load(name: str) -> Codec:
    """The codec plugin with that name. Raises VpdataError for an unknown one."""
    if name not in NAMES:
        raise VpdataError(f"there is no codec {name!r}.", hint=f"Choose one of {', '.join(NAMES)}.")
    return cast(Codec, importlib.import_module(f"vpdata.codecs.{name}").CODEC)
