"""Run by a Python that has lerobot: loads a data set with `LeRobotDataset`, and writes what it gives as one .npz.

PYTHON tests/export/read_lerobot.py DIR OUT.npz
"""

import sys
from pathlib import Path

import numpy as np
from lerobot.datasets.lerobot_dataset import CODEBASE_VERSION, LeRobotDataset
from torch.utils.data import DataLoader


def main() -> None:
    root, out = map(Path, sys.argv[1:])
    dataset = LeRobotDataset("local/exported", root=root)
    items = [dataset[i] for i in range(len(dataset))]
    found = {
        "codebase_version": np.array(CODEBASE_VERSION),
        "num_episodes": np.array(dataset.num_episodes),
        "task": np.array([item["task"] for item in items]),
    }
    for key in set(items[0]) - {"task"}:
        values = np.stack([item[key].numpy() for item in items])
        found[key] = np.rint(values * 255).astype(np.uint8) if "images" in key else values
    for feature, statistics in dataset.meta.stats.items():
        found |= {f"stats/{feature}/{name}": np.asarray(values) for name, values in statistics.items()}
    camera = next(key for key in items[0] if "images" in key)
    seconds = [0.0, 1 / dataset.fps]
    windows = LeRobotDataset("local/exported", root=root, delta_timestamps={camera: seconds})
    found["window"] = next(iter(DataLoader(windows, batch_size=2)))[camera].numpy()
    last = LeRobotDataset("local/exported", root=root, episodes=[dataset.num_episodes - 1])
    found["index_of_last_episode"] = np.array([last[i]["index"].item() for i in range(len(last))])
    np.savez(out, **found)


main()
