"""What H.264 and AV1 share: RGB frames in, the bytes of one mp4 with 4:2:0 chroma out, and back."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vpdata.codecs import Codec, decoders
from vpdata.codecs.colour import yuv_frames
from vpdata.codecs.container import Format, write_video
from vpdata.codecs.decoders.pyav import count_frames


class Mp4Video(Codec):
    """A codec whose encoder takes 4:2:0 frames; `form` is what the encoder is told."""

    extension = "mp4"
    form: Format

    def encode(self, frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:
        """See `Codec.encode`. Odd sizes are padded with their edge to even ones."""
        converted, height, width = yuv_frames(frames)
        return write_video(converted, self.form, width=width, height=height, fps=fps)

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8]) -> None:
        """See `Codec.decode_into`."""
        decoders.select(codec=self.name).decode_into(data, indices, out, codec=self.name)

    def count(self, data: bytes) -> int:
        """See `Codec.count`."""
        return count_frames(data, codec=self.name)
