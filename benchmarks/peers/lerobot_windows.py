"""LeRobot's windows through torch's DataLoader; runs in the peers' environment and prints a `Measured`.

The windows are those of `windows.json`, in that order, in batches as torch collates them: float32 frames in [0, 1],
(batch, frames, 3, height, width) for every camera, 32 actions, the state at the window's frames.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks.data.measuring import measure, psnr_db, window_parser
from benchmarks.peers.lerobot_make import CAMERAS, FPS

NUM_COMPARED = 8


def open_dataset(root: Path, *, num_frames: int, stride: int, horizon: int) -> LeRobotDataset:
    """The data set with so many frames and actions asked for."""
    seconds = [stride * i / FPS for i in range(num_frames)]
    deltas = {f"observation.images.{name}": seconds for name in CAMERAS}
    deltas |= {"observation.state": seconds, "action": [i / FPS for i in range(horizon)]}
    return LeRobotDataset("benchmark/frames", root=root, delta_timestamps=deltas, video_backend="torchcodec")


def compared(
    dataset: LeRobotDataset, indices: list[int], places: list[tuple[int, int]], data: Path, wanted: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Frames of some windows, and the source's."""
    with h5py.File(data / "robocasa" / "demos.hdf5") as h5:
        for index, (demo, start) in zip(indices, places, strict=True):
            item = dataset[index]
            for name, recorded in CAMERAS.items():
                images = h5["data"][f"demo_{demo}"]["obs"][recorded]
                rows = np.minimum(start + wanted, len(images) - 1)
                unique, place = np.unique(rows, return_inverse=True)
                found = (item[f"observation.images.{name}"] * 255).round().byte().permute(0, 2, 3, 1).numpy()
                yield found, images[unique][place]


def main() -> None:
    """Command line."""
    parser = window_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    args = parser.parse_args()
    dataset = open_dataset(args.root, num_frames=args.num_frames, stride=args.stride, horizon=args.horizon)
    places = [tuple(place) for place in json.loads((args.data / "windows.json").read_text())]
    first = dataset.meta.episodes["dataset_from_index"]
    indices = [first[demo] + start for demo, start in places]
    loader = DataLoader(
        dataset,
        batch_size=args.batch_size,
        sampler=itertools.cycle(indices),  # type: ignore[arg-type]
        num_workers=args.workers,
    )
    measured = measure((len(batch["action"]) for batch in loader), seconds=args.seconds)
    wanted = args.stride * np.arange(args.num_frames)
    pairs = compared(dataset, indices[:NUM_COMPARED], places[:NUM_COMPARED], args.data, wanted)
    disk = sum(path.stat().st_size for path in args.root.rglob("*") if path.is_file())
    replace(measured, disk_bytes=disk, psnr_db=psnr_db(pairs)).print()


if __name__ == "__main__":
    main()
