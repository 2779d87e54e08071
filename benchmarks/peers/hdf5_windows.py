"""Windows read straight from RoboCasa's HDF5, as the method's reference does; runs in the peers' environment.

One `h5py` read a camera and window, of the window's own frames from a file that stays open; then colour jitter by
torchvision with other draws for every frame (`--jitter none` leaves it out), float32 in [-1, 1], torch's DataLoader.
"""

import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ColorJitter
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from benchmarks.data.measuring import measure, window_parser
from benchmarks.peers.lerobot_make import CAMERAS

BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.2, 0.2, 0.2, 0.05


class Windows(Dataset[tuple[Tensor, Tensor]]):
    """Item i is window i: float32 (cameras, frames, 3, height, width), and its actions."""

    def __init__(
        self, file: Path, places: Sequence[tuple[int, int]], *, num_frames: int, stride: int, horizon: int, jitter: str
    ) -> None:
        self._file, self._places = file, places
        self._num_frames, self._stride, self._horizon = num_frames, stride, horizon
        self._jitter = ColorJitter(BRIGHTNESS, CONTRAST, SATURATION, HUE) if jitter == "frame" else None
        self._h5: Any = None

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self._h5 is None:  # in the worker: HDF5 files do not survive a fork
            self._h5 = h5py.File(self._file)
        number, start = self._places[index]
        demo = self._h5["data"][f"demo_{number}"]
        cameras = torch.stack([self._frames(demo["obs"][name], start) for name in CAMERAS.values()])
        actions = demo["actions"][start : start + self._horizon]
        padded = np.zeros((self._horizon, actions.shape[1]), np.float32)
        padded[: len(actions)] = actions
        return cameras, torch.from_numpy(padded)

    def _frames(self, images: Any, start: int) -> Tensor:
        rows = images[start : start + (self._num_frames - 1) * self._stride + 1 : self._stride]
        missing = self._num_frames - len(rows)
        frames = torch.from_numpy(np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])).permute(0, 3, 1, 2)
        if self._jitter is not None:
            frames = torch.stack([pil_to_tensor(self._jitter(to_pil_image(frame))) for frame in frames])
        return frames.float() / 127.5 - 1


def main() -> None:
    """Command line."""
    parser = window_parser(__doc__)
    parser.add_argument("--jitter", choices=["none", "frame"], required=True)
    args = parser.parse_args()
    file = args.data / "robocasa" / "demos.hdf5"
    places = [tuple(place) for place in json.loads((args.data / "windows.json").read_text())]
    windows = Windows(
        file,
        places,
        num_frames=args.num_frames,
        stride=args.stride,
        horizon=args.horizon,
        jitter=args.jitter,
    )
    loader = DataLoader(
        windows,
        batch_size=args.batch_size,
        sampler=itertools.cycle(range(len(places))),  # type: ignore[arg-type]
        num_workers=args.workers,
    )
    measured = measure((len(actions) for _, actions in loader), seconds=args.seconds)
    replace(measured, disk_bytes=os.path.getsize(file)).print()  # noqa: PTH202


if __name__ == "__main__":
    main()
