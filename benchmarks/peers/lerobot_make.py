"""The common frames in, the same as a LeRobot data set out; runs in the peers' environment.

    PEERS/venv/bin/python -m benchmarks.peers.lerobot_make --data DIR --out DIR/lerobot-av1 --vcodec libsvtav1

Everything is LeRobot's default (a key frame every 2 frames, crf 30) but that it encodes while it gets the frames.
"""

import argparse
import shutil
from pathlib import Path

import h5py
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

CAMERAS = {
    "wrist": "robot0_eye_in_hand_image",
    "left": "robot0_agentview_left_image",
    "right": "robot0_agentview_right_image",
}
STATE = (
    "robot0_base_pos",
    "robot0_base_quat",
    "robot0_base_to_eef_pos",
    "robot0_base_to_eef_quat",
    "robot0_gripper_qpos",
)
FPS = 20


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vcodec", choices=["libsvtav1", "h264"], required=True)
    args = parser.parse_args()
    partial = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with h5py.File(args.data / "robocasa" / "demos.hdf5") as h5:
        shape = h5["data/demo_0/obs"][CAMERAS["wrist"]].shape[1:]
        video = {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"]}
        features = {f"observation.images.{name}": video for name in CAMERAS}
        features["observation.state"] = {"dtype": "float32", "shape": (16,), "names": None}
        features["action"] = {"dtype": "float32", "shape": (12,), "names": None}
        dataset = LeRobotDataset.create(
            "benchmark/frames",
            fps=FPS,
            features=features,
            root=partial,
            vcodec=args.vcodec,
            streaming_encoding=True,
            encoder_queue_maxsize=1000,
        )
        for number in range(len(h5["data"])):
            demo = h5["data"][f"demo_{number}"]
            images = {name: demo["obs"][recorded][()] for name, recorded in CAMERAS.items()}
            state = np.concatenate([demo["obs"][name][()] for name in STATE], axis=1).astype(np.float32)
            actions = demo["actions"][()].astype(np.float32)
            for row in range(len(actions)):
                frame = {f"observation.images.{name}": frames[row] for name, frames in images.items()}
                dataset.add_frame(frame | {"observation.state": state[row], "action": actions[row], "task": "loop"})
            dataset.save_episode()
        dataset.finalize()
    partial.rename(args.out)


if __name__ == "__main__":
    main()
