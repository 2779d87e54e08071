"""decord. Not a dependency: imported when asked for."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vpdata.codecs.request import check_indices, check_size
from vpdata.errors import ShardError, VpdataError


class DecordDecoder:
    """Unmaintained since 2022: knows no AV1, and may hang on damaged bytes that no checksum has kept from it."""

    name = "decord"
    codecs = ("h264",)

    def version(self) -> str:
        """See `Decoder.version`."""
        try:
            import decord
        except (ImportError, OSError) as error:
            raise VpdataError(str(error), hint="See docs/CODECS.md.") from error
        return str(decord.__version__)

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8], *, codec: str) -> None:  # noqa: ARG002
        """See `Decoder.decode_into`."""
        import decord

        try:
            reader = decord.VideoReader(io.BytesIO(data), num_threads=1)
            check_indices(indices, len(reader))
            if not len(indices):
                return
            frames = reader.get_batch(list(indices)).asnumpy()
        except (decord.DECORDError, IndexError, RuntimeError) as error:
            raise ShardError(f"the video does not decode ({error}).") from error
        check_size(frames.shape[1], frames.shape[2], out, padding=1)
        out[:] = frames[:, : out.shape[1], : out.shape[2]]


DECODERS = {"decord": DecordDecoder()}
