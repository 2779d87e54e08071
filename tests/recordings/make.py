"""Makes the small real recordings beside this file from the larger shared ones.

Enters: the shared folder (`data/libero_states_only`, `data/libero`, `data/robocasa`, `data/aloha`, `data/video`).
Leaves: `libero/`, `robocasa/`, `aloha/`, `aloha_raw/`, `video/`, `video_broken/` under `--out`, in the layouts of
the originals, and `folder/`, two demos of the `robocasa/` made there as plain folders. Only `libero` needs the
simulator (see README.md); the others need h5py, and `folder` also av and pyarrow.

    python make.py --shared SHARED --out tests/recordings
    python make.py --shared SHARED --out tests/recordings --only robocasa aloha video
"""

import argparse
import csv
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LIBERO_SIZE = 64  # pixels, both sides of both cameras
LIBERO_TASKS = {  # of libero_object, and how many demos of each are rendered
    "pick_up_the_alphabet_soup_and_place_it_in_the_basket": 11,
    "pick_up_the_chocolate_pudding_and_place_it_in_the_basket": 9,
}
LIBERO_ORIGINAL = "libero_goal/open_the_middle_drawer_of_the_cabinet_demo.hdf5"  # first demo kept at 128 x 128
LIBERO_NUM_SETTLING_STEPS = 5  # LIBERO's own writer drops these from the start of every demo
LIBERO_CONTROL_HZ = 20

ROBOCASA_FOLDER = "robocasa/v0.1/single_stage/kitchen_drawer"
ROBOCASA_FILE = "demo_gentex_im128_randcams.hdf5"
ROBOCASA_TASKS = {"CloseDrawer": ("demo_0", "demo_1", "demo_2"), "OpenDrawer": ("demo_2",)}  # demos kept

FOLDER_CAMERAS = {  # file stem: recorded name
    "cam_wrist": "robot0_eye_in_hand_image",
    "left": "robot0_agentview_left_image",
    "right": "robot0_agentview_right_image",
}
FOLDER_STATE = {"eef": "robot0_base_to_eef_pos", "finger": "robot0_gripper_qpos"}  # column prefix: recorded name
FOLDER_ARM = ["x", "y", "z", "turn_x", "turn_y", "turn_z", "gripper"]
FOLDER_BASE = ["base_forward", "base_sideways", "base_yaw", "torso", "mode"]
FOLDER_FPS = 20

ALOHA_NUM_STEPS = 80  # of the 400 of the compressed episode; the raw one has 12 and keeps them

VIDEOS = (
    "aloha_transfer_cube_left_wrist_50fps.MP4",
    "libero object soup 007 späces & ünicode.mp4",
    "libero10_basket_002_5fps.mp4",
    "libero_object_soup_000.mp4",
    "libero_object_soup_003_vfr.mp4",
    "libero_object_soup_004_rotated90.mp4",
    "libero_object_soup_005_with_audio.mp4",
    "libero_object_soup_006_fragmented.mp4",
    "libero_object_soup_008_odd_95x127_yuv444.mp4",
    "libero_object_soup_single_frame.mp4",
    "libero_spatial_bowl_002_av1.mp4",
    "libero_spatial_bowl_003_hevc.mp4",
    "libero_spatial_bowl_004_vp9.webm",
    "robocasa_CloseDrawer_000_agentview_left.mp4",
    "robocasa_CloseDrawer_001_agentview_right.mp4",
)


def without_host_paths(text: str) -> str:
    """`text` with "/any/host/libero/libero/x" and "/any/host/robosuite/x" cut to what follows the host's folder."""
    return re.sub(r"/[^\"'\s]*?/(libero/libero/|robosuite/)", r"\1", text)


def copy_attrs(source: Any, target: Any, drop: Collection[str] = ()) -> None:
    """Copies the attributes of one HDF5 object to another, host paths shortened."""
    for name, value in source.attrs.items():
        if name not in drop:
            target.attrs[name] = without_host_paths(value) if isinstance(value, str) else value


def write_dataset(group: Any, name: str, values: Array) -> None:
    """Stores `values` plainly, or if they are images, uint8 (T, H, W, C), gzip'd in bands of 8 rows over all of time.

    These chunks take a quarter to a half less than the originals' (T / 4, 32, 32, 1): the scene hardly moves, and
    its colours go together. The price: one frame costs as much to read as the whole demo.
    """
    if values.ndim == 4:
        chunks = (len(values), 8, *values.shape[2:])
        group.create_dataset(name, data=values, chunks=chunks, compression="gzip", compression_opts=9)
    else:
        group.create_dataset(name, data=values)


def copy_group(source: Any, target: Any, drop_attrs: Collection[str] = ()) -> None:
    """Copies a group and all below it: images recompressed, every other dataset as it is stored in `source`."""
    copy_attrs(source, target, drop_attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            copy_group(item, target.create_group(name), drop_attrs)
        elif item.ndim == 4:
            write_dataset(target, name, item[()])
        else:
            source.copy(item, target, name)


def create_file(path: Path) -> Any:
    """Opens a new HDF5 file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return h5py.File(path, "w")


# --- LIBERO ---------------------------------------------------------------------------------------------------------


class LiberoRenderer:
    """Renders recorded simulator states of one LIBERO task; the only place that imports the simulator."""

    def __init__(self, suite: str, task: str) -> None:
        os.environ.setdefault("MUJOCO_GL", "osmesa")
        os.environ.setdefault("PYOPENGL_PLATFORM", "osmesa")
        import robosuite
        from libero.libero.envs import OffScreenRenderEnv
        from robosuite.utils.transform_utils import quat2axisangle

        self._quat2axisangle: Callable[[Array], Array] = quat2axisangle
        self._packages = Path(robosuite.__file__).parent.parent
        bddl_path = self._packages / f"libero/libero/bddl_files/{suite}/{task}.bddl"
        self.bddl_text = bddl_path.read_text(encoding="utf-8")
        size = LIBERO_SIZE
        self._env = OffScreenRenderEnv(bddl_file_name=str(bddl_path), camera_heights=size, camera_widths=size)
        self._env.seed(0)
        self._env.reset()

    def load(self, model_xml: str) -> None:
        """Loads a demo's scene (`model_file` without host paths), multisampling and shadows off."""
        xml = re.sub(r'"(libero/libero|robosuite)/', rf'"{self._packages}/\1/', model_xml)
        xml = xml.replace("<visual>", '<visual><quality offsamples="0" shadowsize="0"/>', 1)
        self._env.reset_from_xml_string(xml)
        self._env.sim.reset()

    def observe(self, state: Array) -> dict[str, Array]:
        """Observation of one flat simulator state, under LIBERO's names; images (H, W, 3) with row 0 at the bottom."""
        obs = self._env.regenerate_obs_from_state(state)
        gripper, ee_pos, ee_quat = obs["robot0_gripper_qpos"], obs["robot0_eef_pos"], obs["robot0_eef_quat"]
        ee_ori = self._quat2axisangle(ee_quat)
        return {
            "obs/agentview_rgb": obs["agentview_image"],
            "obs/ee_ori": ee_ori,
            "obs/ee_pos": ee_pos,
            "obs/ee_states": np.concatenate([ee_pos, ee_ori]),
            "obs/eye_in_hand_rgb": obs["robot0_eye_in_hand_image"],
            "obs/gripper_states": gripper,
            "obs/joint_states": obs["robot0_joint_pos"],
            "robot_states": np.concatenate([gripper, ee_pos, ee_quat]),
        }

    def succeeded(self) -> bool:
        """Whether the state last observed fulfils the task."""
        return bool(self._env.check_success())

    def close(self) -> None:
        """Frees the simulator."""
        self._env.close()


def render_libero_demo(renderer: LiberoRenderer, source: Any, target: Any) -> int:
    """Writes one rendered demo and returns its number of steps.

        recorded   states[t] -- actions[t] --> states[t + 1]
        written    states[t] -- actions[t] --> obs[t] = observation of states[t + 1]

    The last action is dropped: no state was recorded after it.
    """
    model_xml = without_host_paths(source.attrs["model_file"])
    renderer.load(model_xml)
    states, actions = source["states"][LIBERO_NUM_SETTLING_STEPS:], source["actions"][LIBERO_NUM_SETTLING_STEPS:]
    observations = [renderer.observe(state) for state in states[1:]]
    if not renderer.succeeded():
        raise ValueError(f"{source.name} does not end in success; its scene or states are not those of this task")
    num_steps = len(observations)
    is_last = (np.arange(num_steps) == num_steps - 1).astype(np.uint8)

    target.attrs["num_samples"] = num_steps
    target.attrs["model_file"] = model_xml
    target.attrs["init_state"] = states[0]
    low_dim = {"actions": actions[:-1], "states": states[:-1], "rewards": is_last, "dones": is_last}
    observed = {name: np.stack([observation[name] for observation in observations]) for name in observations[0]}
    for name, values in {**low_dim, **observed}.items():
        write_dataset(target, name, values)
    return num_steps


def libero_attrs(source: Mapping[str, Any], bddl_text: str) -> dict[str, Any]:
    """Attributes of `data` in a LIBERO file, from those of the recorder's raw file."""
    problem, bddl_path = json.loads(source["problem_info"]), without_host_paths(source["bddl_file_name"])
    env_kwargs = json.loads(source["env_info"]) | {
        "bddl_file_name": bddl_path,
        "has_renderer": False,
        "has_offscreen_renderer": True,
        "ignore_done": True,
        "use_camera_obs": True,
        "camera_depths": False,
        "camera_names": ["robot0_eye_in_hand", "agentview"],
        "reward_shaping": True,
        "control_freq": LIBERO_CONTROL_HZ,
        "camera_heights": LIBERO_SIZE,
        "camera_widths": LIBERO_SIZE,
        "camera_segmentations": None,
    }
    env_args = {"type": 1, "env_name": source["env"], "problem_name": problem["problem_name"]}
    return {
        "bddl_file_content": bddl_text,
        "bddl_file_name": bddl_path,
        "env_args": json.dumps({**env_args, "bddl_file": bddl_path, "env_kwargs": env_kwargs}),
        "env_name": source["env"],
        "macros_image_convention": "opengl",
        "problem_info": source["problem_info"],
        "tag": "libero-v1",
    }


def make_libero(data: Path, out: Path) -> None:
    """Renders the tasks of `LIBERO_TASKS` and copies the first demo of `LIBERO_ORIGINAL`."""
    for task, num_demos in LIBERO_TASKS.items():
        renderer = LiberoRenderer("libero_object", task)
        raw_path = data / "libero_states_only/libero_object" / task / "demo.hdf5"
        with h5py.File(raw_path) as raw, create_file(out / f"libero/{task}_demo.hdf5") as file:
            target = file.create_group("data")
            target.attrs.update(libero_attrs(raw["data"].attrs, renderer.bddl_text))
            target.attrs["num_demos"], target.attrs["total"] = num_demos, 0
            # Text order (demo_1, demo_10, demo_11, ...) is LIBERO's own: demo_k here is demo_k of its files.
            for index, name in enumerate(sorted(raw["data"])[:num_demos]):
                num_steps = render_libero_demo(renderer, raw["data"][name], target.create_group(f"demo_{index}"))
                target.attrs["total"] += num_steps
                print(f"{task} demo_{index} (raw {name}): {num_steps} steps", flush=True)
        renderer.close()

    original = data / "libero" / LIBERO_ORIGINAL
    with h5py.File(original) as raw, create_file(out / "libero" / original.name) as file:
        copy_group(raw["data/demo_0"], file.create_group("data/demo_0"))
        copy_attrs(raw["data"], file["data"])
        file["data"].attrs.update({"num_demos": 1, "total": raw["data/demo_0"].attrs["num_samples"]})


# --- RoboCasa, ALOHA, video -----------------------------------------------------------------------------------------


def make_robocasa(data: Path, out: Path) -> None:
    """Copies the demos of `ROBOCASA_TASKS` without their `model_file` XML; `mask/N_demos` lists the first N."""
    for task, names in ROBOCASA_TASKS.items():
        path = f"{ROBOCASA_FOLDER}/{task}/{ROBOCASA_FILE}"
        with h5py.File(data / path) as raw, create_file(out / path) as file:
            target = file.create_group("data")
            copy_attrs(raw["data"], target)
            for name in names:
                copy_group(raw["data"][name], target.create_group(name), drop_attrs={"model_file"})
            target.attrs["total"] = sum(int(demo.attrs["num_samples"]) for demo in target.values())
            for count in range(min(2, len(names)), len(names) + 1):
                file[f"mask/{count}_demos"] = np.array(names[:count], dtype=bytes)


def make_aloha(data: Path, out: Path) -> None:
    """Keeps the first steps of the JPEG-compressed episode, and the raw one with its images gzip'd."""
    compressed = "aloha/sim_transfer_cube_scripted_compressed/episode_0.hdf5"
    with h5py.File(data / compressed) as raw, create_file(out / "aloha/episode_0.hdf5") as file:
        copy_attrs(raw, file)
        for name in ("action", "observations/qpos", "observations/qvel"):
            file[name] = raw[name][:ALOHA_NUM_STEPS]
        lengths = raw["compress_len"][:, :ALOHA_NUM_STEPS]  # (3, T) bytes, one row a camera, in their text order
        file["compress_len"] = lengths
        for camera, row in zip(sorted(raw["observations/images"]), lengths, strict=True):
            name = f"observations/images/{camera}"
            file[name] = raw[name][:ALOHA_NUM_STEPS, : int(row.max())]

    plain = "aloha/act_sim_transfer_cube_raw_first12/episode_0.hdf5"
    with h5py.File(data / plain) as raw, create_file(out / "aloha_raw/episode_0.hdf5") as file:
        copy_group(raw, file)


def make_video(data: Path, out: Path) -> None:
    """Copies the videos chosen above, and the broken ones to a folder of their own."""
    chosen = [data / "video" / name for name in VIDEOS]
    for folder, paths in (("video", chosen), ("video_broken", sorted((data / "video").glob("broken_*")))):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for path in paths:
            shutil.copyfile(path, out / folder / path.name)


def write_video(path: Path, frames: Array) -> None:
    """Writes RGB frames (T, H, W, 3) at `FOLDER_FPS` as H.264 4:4:4, close to lossless."""
    import av

    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream(
            "libx264", rate=FOLDER_FPS, options={"crf": "14", "preset": "veryslow", "threads": "1"}
        )
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        for pixels in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())


def make_folder(data: Path, out: Path) -> None:  # noqa: ARG001
    """Writes two CloseDrawer demos as plain folders: one with CSV and mp4, one with Parquet and Matroska."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with h5py.File(out / ROBOCASA_FOLDER / "CloseDrawer" / ROBOCASA_FILE) as file:
        for name, suffix in (("demo_0", "mp4"), ("demo_1", "mkv")):
            demo, folder = file["data"][name], out / "folder/close_drawer" / name
            folder.mkdir(parents=True, exist_ok=True)
            seconds = np.arange(len(demo["actions"])) / FOLDER_FPS
            columns = {"time_seconds": seconds}
            for prefix, recorded in FOLDER_STATE.items():
                columns |= {
                    f"state_{prefix}_{i}": demo["obs"][recorded][:, i] for i in range(demo["obs"][recorded].shape[1])
                }
            names = FOLDER_ARM + FOLDER_BASE if suffix == "mkv" else range(12)
            columns |= {f"action_{part}": demo["actions"][:, i] for i, part in enumerate(names)}
            for stem, recorded in FOLDER_CAMERAS.items():
                write_video(folder / f"{stem}.{suffix}", demo["obs"][recorded][:])
            notes: dict[str, Any] = {"cameras": {"wrist": "cam_wrist", "left": "left", "right": "right"}}
            if name == "demo_0":
                write_csv(folder / "data.csv", columns)
                language = json.loads(demo.attrs["ep_meta"])["lang"]
                notes |= {
                    "instructions": language,
                    "action_space": "robocasa_panda_omron_action",
                    "licence": "Apache-2.0",
                }
            else:
                pq.write_table(pa.table(columns), folder / "data.parquet")
                write_csv(folder / "left.csv", {"time_seconds": seconds + 0.004})
            (folder / "episode.json").write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


def write_csv(path: Path, columns: Mapping[str, Array]) -> None:
    """Writes columns of numbers so that they read back to the same bits."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))


MAKERS: dict[str, Callable[[Path, Path], None]] = {
    "libero": make_libero,
    "robocasa": make_robocasa,
    "aloha": make_aloha,
    "video": make_video,
    "folder": make_folder,
}


def main() -> None:
    """Parses the command line and makes what it names."""
    parser = argparse.ArgumentParser(description="Makes the recordings of this folder from the shared ones.")
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds data/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; existing files are replaced")
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=list(MAKERS), help="make only these")
    args = parser.parse_args()
    for name in args.only:
        MAKERS[name](args.shared / "data", args.out)


if __name__ == "__main__":
    main()
