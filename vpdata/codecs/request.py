"""What was asked for and what a member holds in, a ShardError out where they do not fit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import ShardError


def check_indices(indices: Sequence[int], num_frames: int) -> None:
    """Raises ShardError unless every index lies in [0, num_frames)."""
    if len(indices) and not (min(indices) >= 0 and max(indices) < num_frames):
        raise ShardError(f"the video has {num_frames} frames, asked for {min(indices)} to {max(indices)}.")


def check_size(height: int, width: int, out: NDArray[np.uint8], *, padding: int = 0) -> None:
    """Raises ShardError unless stored frames are as large as those of `out`, or larger by at most `padding` pixels."""
    if not (0 <= height - out.shape[1] <= padding and 0 <= width - out.shape[2] <= padding):
        raise ShardError(f"frames are {height}x{width}, expected {out.shape[1]}x{out.shape[2]}.")
