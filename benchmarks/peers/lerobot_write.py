"""LeRobot's writer, timed, on the frames of an ingest; runs in the peers' environment.

    PEERS/venv/bin/python -m benchmarks.peers.lerobot_write --file FILE --out DIR --vcodec libsvtav1 --steps 2000

The demos are read into memory one by one, which is not timed; the clock runs while the writer gets their frames and
finishes the episode, and at last closes the data set. It encodes while it gets the frames, which is the fastest that it
does; all else is its default. Prints a `Written`.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from benchmarks.data.ingest_measuring import Written
from benchmarks.data.measuring import cpu_seconds
from benchmarks.peers.lerobot_make import CAMERAS, FPS, STATE


def demos(file: Path, *, steps: int) -> Iterator[dict[str, Any]]:
    """Images by camera, state and actions of demos in memory, so many steps in all."""
    with h5py.File(file) as h5:
        for number in range(len(h5["data"])):
            demo = h5["data"][f"demo_{number}"]
            stop = min(len(demo["actions"]), steps)
            images = {f"observation.images.{name}": demo["obs"][key][:stop] for name, key in CAMERAS.items()}
            state = np.concatenate([demo["obs"][name][:stop] for name in STATE], axis=1).astype(np.float32)
            yield images | {"observation.state": state, "action": demo["actions"][:stop].astype(np.float32)}
            steps -= stop
            if not steps:
                return


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="RoboCasa HDF5")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vcodec", choices=["libsvtav1", "h264"], required=True)
    parser.add_argument("--steps", type=int, required=True)
    args = parser.parse_args()
    dataset, count, seconds, cpu = None, 0, 0.0, 0.0
    for demo in demos(args.file, steps=args.steps):
        begin, begin_cpu = time.monotonic(), cpu_seconds()
        if dataset is None:
            dataset = create(args.out, args.vcodec, demo)
        for row in range(len(demo["action"])):
            dataset.add_frame({name: values[row] for name, values in demo.items()} | {"task": "loop"})
        dataset.save_episode()
        seconds, cpu = seconds + time.monotonic() - begin, cpu + cpu_seconds() - begin_cpu
        count += len(CAMERAS) * len(demo["action"])
    assert dataset is not None
    begin, begin_cpu = time.monotonic(), cpu_seconds()
    dataset.finalize()
    seconds, cpu = seconds + time.monotonic() - begin, cpu + cpu_seconds() - begin_cpu
    Written(frames=count, seconds=seconds, cpu_seconds=cpu).print()


def create(out: Path, vcodec: str, demo: dict[str, Any]) -> LeRobotDataset:
    """An empty data set for such demos."""
    shape = demo[f"observation.images.{next(iter(CAMERAS))}"].shape[1:]
    video = {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"]}
    features: dict[str, Any] = {f"observation.images.{name}": video for name in CAMERAS}
    for name in ("observation.state", "action"):
        features[name] = {"dtype": "float32", "shape": demo[name].shape[1:], "names": None}
    return LeRobotDataset.create(
        "benchmark/frames",
        fps=FPS,
        features=features,
        root=out,
        vcodec=vcodec,
        streaming_encoding=True,
        encoder_queue_maxsize=1000,
    )


if __name__ == "__main__":
    main()
