"""Our loader's windows, in batches; prints a `Measured`.

    python -m benchmarks.data.ours --data DIR --codec h264 --output float32

`--output` says what is made of a batch: `uint8`, the loader's own arrays; `float32`, a tensor (batch, cameras, frames,
3, height, width) in [-1, 1]; `jitter`, that tensor with vptrain's colour jitter, drawn for every frame anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.data.make import FRAMES, window_places
from benchmarks.data.measuring import measure, psnr_db, window_parser
from vpdata.loader.batch import Group
from vpdata.loader.loader import load
from vpdata.loader.window import WindowSpec
from vpdata.mixture.mixture import Mixture
from vpdata.sources.robocasa import CAMERAS
from vptrain.augment import color_jitter, jitter_draws

NUM_COMPARED = 8


class Float32:
    """Makes groups float32 tensors; the memory of the last one is used again, as the loader's own is."""

    def __init__(self) -> None:
        self._out = torch.empty(0)

    def __call__(self, group: Group) -> Tensor:
        """(b, V, F, 3, H, W) in [-1, 1], contiguous."""
        assert group.stacked is not None
        stored = torch.from_numpy(group.stacked).transpose(0, 1).movedim(-1, -3)
        if self._out.shape != stored.shape:
            self._out = torch.empty(stored.shape)
        return self._out.copy_(stored).div_(127.5).sub_(1)


def jittered(frames: Tensor, positions: Sequence[int]) -> Tensor:
    """The frames of the windows at these positions, jittered; every frame counts as a camera and has its own draws."""
    b, v, f = frames.shape[:3]
    draws = jitter_draws(0, positions, num_cameras=v * f)
    return color_jitter(frames.reshape(b, v * f, 1, *frames.shape[3:]), draws)


def pairs(mixture: Mixture, data: Path, args: Any) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Frames of the first windows, and the source's."""
    with (
        h5py.File(data / FRAMES) as h5,
        load(mixture, spec(args), batch_size=1, start=0, stop=None, num_workers=0) as it,
    ):
        for (demo, start), batch in zip(window_places(mixture, count=NUM_COMPARED), it, strict=False):
            for camera, found in batch.windows[0].frames.items():
                images = h5["data"][f"demo_{demo}"]["obs"][CAMERAS[camera]]
                rows = np.minimum(start + args.stride * np.arange(args.num_frames), len(images) - 1)
                unique, places = np.unique(rows, return_inverse=True)
                yield found, images[unique][places]


def spec(args: Any) -> WindowSpec:
    """Windows as the arguments say, at the stored size."""
    return WindowSpec(
        num_frames=args.num_frames,
        stride=args.stride,
        horizon=args.horizon,
        height=None,
        width=None,
        cameras=tuple(CAMERAS),
    )


def main() -> None:
    """Command line."""
    parser = window_parser(__doc__)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--output", choices=["uint8", "float32", "jitter"], default="uint8")
    args = parser.parse_args()
    mixture = Mixture.open(args.data / f"{args.codec}.toml")

    to_float32 = Float32()

    def batches(loader: Iterator[Any]) -> Iterator[int]:
        for batch in loader:
            for group in batch.groups:
                if args.output == "float32":
                    to_float32(group)
                elif args.output == "jitter":
                    jittered(to_float32(group), [batch.windows[place].position for place in group.places])
            yield len(batch.windows)

    with load(mixture, spec(args), batch_size=args.batch_size, start=0, stop=None, num_workers=args.workers) as loader:
        measured = measure(batches(loader), seconds=args.seconds)
    disk = sum(path.stat().st_size for path in (args.data / args.codec).iterdir())
    replace(measured, disk_bytes=disk, psnr_db=psnr_db(pairs(mixture, args.data, args))).print()


if __name__ == "__main__":
    main()
