"""Finished data sets in, one HDF5 file in robomimic's layout out.

```
data                            attributes: total, env_args (JSON with fps)
  demo_0                        attributes: num_samples, ep_meta (JSON with lang), and what recording it is
    obs/<camera>                uint8 (N, height, width, 3), RGB, upright; a gzip'd chunk a frame
    obs/state, states           (N, S), the same data under two names
    actions                     (N, A); obs[t] is seen before actions[t]
    rewards, dones              zeros; zeros and a last 1
mask/all, mask/<task>           names of demos
```

The file is written in `OUT.partial/` beside OUT, and gets its name when it is complete. After a stop it begins
anew.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vpdata import __version__
from vpdata.errors import ExportError
from vpdata.export.hdf5_images import ImageWriter
from vpdata.export.layout import Layout, common_layout
from vpdata.export.result import Exported
from vpdata.export.runs import Only, Run, assemble
from vpdata.export.unfinished import digest_of, publish, refuse_existing, unfinished
from vpdata.shards.dataset import Dataset

GYM = 2
"""robomimic's number of an environment that needs no treatment of its own."""
PANDA_SPACES = ("osc_pose_action", "robomimic_panda_state")
PANDA_STATE = {"robot0_eef_pos": slice(0, 3), "robot0_eef_quat": slice(3, 7), "robot0_gripper_qpos": slice(7, 9)}
PANDA_SETTINGS = {
    "robots": ["Panda"],
    "controller_configs": {"type": "OSC_POSE", "control_delta": True, "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5]},
}
"""What these two spaces stand for in robomimic's own files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdf5Options:
    """What to make; see `assemble`."""

    only: Only | None = None
    split_at_gaps: bool = False


def export_hdf5(
    datasets: Sequence[Dataset],
    out: Path,
    options: Hdf5Options,
    *,
    workers: int | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Exported:
    """Makes the file OUT, or finds that this very export is there.

    Args:
        datasets: their episodes follow each other.
        out: a new file.
        options: what to make.
        workers: threads that decode and compress; None for one a processor.
        progress: called with the number of frames of a camera that are done since the last call.

    Raises:
        ExportError: the episodes do not fit one file, or OUT is something else.
        ShardError: a data set is damaged.
        VpdataError: the disk is full.
    """
    digest = digest_of(datasets, {"hdf5": h5py.version.hdf5_version, **asdict(options)})
    finished = _finished(out, digest)
    if finished is not None:
        return finished
    refuse_existing(out, empty_folder=False)
    runs = assemble(datasets, only=options.only, split_at_gaps=options.split_at_gaps)
    layout = common_layout(runs)
    num_frames = sum(run.num_frames for run in runs)
    exported = Exported(
        path=out,
        num_episodes=len(runs),
        num_frames=num_frames,
        num_camera_frames=num_frames * len(layout.cameras),
        num_encoded=0,
    )
    with unfinished(out, digest=digest) as folder:
        made = folder / "tree.hdf5"
        with _errors_of_the_disk(), h5py.File(made, "w") as file, ImageWriter(workers) as images:
            data = file.create_group("data")
            data.attrs["total"] = num_frames
            data.attrs["env_args"] = json.dumps(_environment(layout, runs))
            for number, run in enumerate(runs):
                _write_demo(data.create_group(f"demo_{number}"), run, layout, images, progress)
            _write_masks(file.create_group("mask"), runs)
            file.attrs.update({"export_digest": digest, "tool_version": __version__, **exported.counts()})
        publish(made, out)
    return exported


@contextmanager
def _errors_of_the_disk() -> Iterator[None]:
    """HDF5 says in the text of some errors only, and of other types than OSError, what the disk answered."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def _write_demo(
    demo: h5py.Group, run: Run, layout: Layout, images: ImageWriter, progress: Callable[[int], object]
) -> None:
    episode = run.episode
    demo.attrs["num_samples"] = run.num_frames
    demo.attrs["ep_meta"] = json.dumps(_description(run), ensure_ascii=False)
    demo.attrs.update(file=episode.file, episode_id=episode.episode_id, content_digest=episode.content_digest)
    demo.attrs.update(start_frame=run.start, attributes=json.dumps(dict(episode.attributes)))
    observed = demo.create_group("obs")
    for camera in layout.cameras:
        images.write(observed, run, camera.name)
        progress(run.num_frames)
    if layout.state_space is not None:
        demo["states"] = run.state()
        demo["states"].attrs["space"] = layout.state_space
        observed["state"] = demo["states"]  # a hard link
    if layout.action_space is not None:
        demo["actions"] = run.actions()
        demo["actions"].attrs["space"] = layout.action_space
        demo["rewards"] = np.zeros(run.num_frames)
        demo["dones"] = (np.arange(run.num_frames) == run.num_frames - 1).astype(np.int64)
    if (layout.action_space, layout.state_space) == PANDA_SPACES:
        for name, columns in PANDA_STATE.items():
            observed[name] = demo["states"][:, columns]


def _environment(layout: Layout, runs: Sequence[Run]) -> dict[str, Any]:
    tasks = {run.episode.task for run in runs}
    panda = PANDA_SETTINGS if (layout.action_space, layout.state_space) == PANDA_SPACES else {}
    return {
        "env_name": tasks.pop() if len(tasks) == 1 else "",
        "type": GYM,
        "fps": layout.fps,
        "env_kwargs": {"control_freq": layout.fps, **panda},
    }


def _description(run: Run) -> dict[str, Any]:
    instructions = list(run.episode.instructions)
    return {"lang": instructions[0] if instructions else "", "instructions": instructions, "task": run.episode.task}


def _write_masks(masks: h5py.Group, runs: Sequence[Run]) -> None:
    """The demos of all tasks, and of each; a slash in a task's name would begin a group."""
    demos: dict[str, list[str]] = {"all": []}
    for number, run in enumerate(runs):
        demos["all"].append(f"demo_{number}")
        if run.episode.task:
            demos.setdefault(run.episode.task.replace("/", "_"), []).append(f"demo_{number}")
    for name, listed in demos.items():
        masks[name] = np.array(listed, dtype="S")


def _finished(out: Path, digest: str) -> Exported | None:
    if not out.is_file() or not h5py.is_hdf5(out):
        return None
    with h5py.File(out) as file:
        if file.attrs.get("export_digest") != digest:
            what = "the file is another one, or an export of other data or options."
            raise ExportError(what, path=out, hint="Choose a new file with --out.")
        return Exported.from_counts(out, file.attrs)
