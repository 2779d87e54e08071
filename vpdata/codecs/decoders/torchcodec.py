"""torchcodec, on the processor or (`torchcodec-cuda`) on an NVIDIA GPU's video engine.

Not a dependency: imported when asked for.
"""

from collections.abc import Sequence
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from vpdata.codecs.request import check_indices, check_size
from vpdata.errors import ShardError, VpdataError


class TorchcodecDecoder:
    """Needs the package of the version that fits torch, and FFmpeg's shared libraries from the system."""

    codecs = ("h264", "av1")

    def __init__(self, *, name: str, device: str) -> None:
        self.name = name
        self.device = device

    def version(self) -> str:
        """See `Decoder.version`."""
        hint = "See docs/CODECS.md."
        try:
            import torch
            import torchcodec.decoders  # noqa: F401
        except (ImportError, OSError, RuntimeError) as error:
            raise VpdataError(" ".join(str(error).split())[:MAX_REASON], hint=hint) from error
        if self.device == "cuda" and not torch.cuda.is_available():
            raise VpdataError("torch finds no CUDA GPU here.", hint=hint)
        return metadata.version("torchcodec")

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8], *, codec: str) -> None:  # noqa: ARG002
        """See `Decoder.decode_into`."""
        from torchcodec.decoders import VideoDecoder

        try:
            decoder = VideoDecoder(data, dimension_order="NHWC", num_ffmpeg_threads=1, device=self.device)
            check_indices(indices, len(decoder))
            if not len(indices):
                return
            frames = decoder.get_frames_at(indices=list(indices)).data.cpu().numpy()
        except (RuntimeError, ValueError, IndexError) as error:
            raise ShardError(f"the video does not decode ({error}).") from error
        check_size(frames.shape[1], frames.shape[2], out, padding=1)
        out[:] = frames[:, : out.shape[1], : out.shape[2]]


MAX_REASON = 300  # torchcodec's own explanation is a page long

DECODERS = {
    "torchcodec": TorchcodecDecoder(name="torchcodec", device="cpu"),
    "torchcodec-cuda": TorchcodecDecoder(name="torchcodec-cuda", device="cuda"),
}
