"""Writes the LeRobot data sets beside this file with LeRobot's own recorder, from the LIBERO recording beside it.

Enters: `libero/pick_up_the_alphabet_soup_…_demo.hdf5`. Leaves: `lerobot/v30_av1` (four episodes in two mp4 a camera,
one with two tasks), `lerobot/v30_png` (two episodes, pictures in Parquet, no names for robot and columns), and
`lerobot/decoded.json`, the SHA-256 of what LeRobot itself decodes. Runs in an environment that holds LeRobot 0.4.4
(benchmarks/peers/setup.sh):

    PEERS/venv/bin/python tests/recordings/make_lerobot.py tests/recordings
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

RECORDING = "libero/pick_up_the_alphabet_soup_and_place_it_in_the_basket_demo.hdf5"
LANGUAGE = "pick up the alphabet soup and place it in the basket"
FPS = 20
LENGTHS = (40, 33, 25, 30)  # of v30_av1; its last episode changes its task at frame 18
TURN, SECOND_TASK = 18, "hold the alphabet soup"
MB_A_VIDEO = 0.06  # so that two episodes fill an mp4
PNG_LENGTHS = (9, 7)
VIDEO = {"dtype": "video", "shape": (64, 64, 3), "names": ["height", "width", "channels"]}
COLUMNS = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]


def rows(demo: Any, number: int) -> dict[str, Any]:
    """What was seen at a frame, upright, and the action that followed it, which LIBERO stores one row later."""
    obs = demo["obs"]
    state = np.concatenate([obs[name][number] for name in ("ee_pos", "ee_ori", "gripper_states")])
    return {
        "front": np.ascontiguousarray(obs["agentview_rgb"][number][::-1]),
        "wrist": np.ascontiguousarray(obs["eye_in_hand_rgb"][number][::-1]),
        "observation.state": state.astype(np.float32),
        "action": demo["actions"][number + 1].astype(np.float32),
    }


def make_av1(data: Any, out: Path) -> None:
    """Everything is LeRobot's default but for the size of its video files."""
    dataset = LeRobotDataset.create(
        "tests/v30_av1",
        fps=FPS,
        root=out,
        robot_type="panda",
        features={
            "observation.images.front": VIDEO,
            "observation.images.wrist": VIDEO,
            "observation.state": {"dtype": "float32", "shape": (8,), "names": None},
            "action": {"dtype": "float32", "shape": (7,), "names": COLUMNS},
        },
    )
    dataset.meta.update_chunk_settings(video_files_size_in_mb=MB_A_VIDEO)
    for episode, length in enumerate(LENGTHS):
        for number in range(length):
            row = rows(data[f"demo_{episode}"], number)
            images = {f"observation.images.{name}": row.pop(name) for name in ("front", "wrist")}
            is_second = episode == len(LENGTHS) - 1 and number >= TURN
            dataset.add_frame({**images, **row, "task": SECOND_TASK if is_second else LANGUAGE})
        dataset.save_episode()
    dataset.finalize()


def make_png(data: Any, out: Path) -> None:
    """Pictures in Parquet under the old key, generic names of columns, no robot."""
    dataset = LeRobotDataset.create(
        "tests/v30_png",
        fps=FPS,
        root=out,
        use_videos=False,
        features={
            "observation.image": {**VIDEO, "dtype": "image"},
            "observation.state": {
                "dtype": "float32",
                "shape": (8,),
                "names": {"motors": [f"motor_{i}" for i in range(8)]},
            },
            "action": {"dtype": "float32", "shape": (7,), "names": None},
            "next.success": {"dtype": "bool", "shape": (1,), "names": None},
        },
    )
    for episode, length in enumerate(PNG_LENGTHS):
        for number in range(length):
            row = rows(data[f"demo_{episode}"], number)
            row.pop("wrist")
            success = np.array([episode == 1 and number == length - 1])
            image = {"observation.image": row.pop("front"), "next.success": success}
            dataset.add_frame({**image, **row, "task": LANGUAGE})
        dataset.save_episode()
    dataset.finalize()


def decoded(root: Path) -> dict[str, dict[str, str]]:
    """By episode and key, the SHA-256 of all its frames (uint8 THWC) and rows as LeRobot gives them."""
    dataset = LeRobotDataset(f"tests/{root.name}", root=root)
    digests: dict[str, dict[str, Any]] = {}
    for number in range(len(dataset)):
        item = dataset[number]
        episode = digests.setdefault(f"episode_{int(item['episode_index']):06d}", {})
        for key in (*dataset.meta.camera_keys, "action", "observation.state"):
            values = item[key].numpy()
            if key in dataset.meta.camera_keys:
                values = np.ascontiguousarray((values * 255).round().astype(np.uint8).transpose(1, 2, 0))
            episode.setdefault(key, hashlib.sha256()).update(values.tobytes())
    return {episode: {key: sha.hexdigest() for key, sha in of.items()} for episode, of in digests.items()}


def main() -> None:
    """Writes both data sets anew."""
    recordings = Path(sys.argv[1])
    out = recordings / "lerobot"
    with h5py.File(recordings / RECORDING) as file:
        for name, make in (("v30_av1", make_av1), ("v30_png", make_png)):
            shutil.rmtree(out / name, ignore_errors=True)
            make(file["data"], out / name)
    digests = {name: decoded(out / name) for name in ("v30_av1", "v30_png")}
    for path in out.rglob("*.mp4"):
        path.chmod(0o644)
    (out / "decoded.json").write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
