"""robomimic files, read with h5py alone, and by our own robomimic source."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from seen import frames_of

from vpdata.clips.encode import ClipOptions
from vpdata.errors import ExportError
from vpdata.export.hdf5 import Hdf5Options, export_hdf5
from vpdata.export.runs import assemble
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions


def test_every_frame_and_number(small: Dataset, tmp_path: Path) -> None:
    out, runs = tmp_path / "small.hdf5", assemble([small])
    seen: list[int] = []
    exported = export_hdf5([small], out, Hdf5Options(), workers=2, progress=seen.append)
    assert exported.num_camera_frames == sum(seen) == 2 * exported.num_frames
    with h5py.File(out) as file:
        assert file["data"].attrs["total"] == exported.num_frames
        environment = json.loads(file["data"].attrs["env_args"])
        assert (environment["fps"], environment["env_kwargs"]) == (20.0, {"control_freq": 20.0})
        assert {"env_name", "type"} <= set(environment)
        assert len(file["data"]) == len(runs)
        for number, run in enumerate(runs):
            demo = file[f"data/demo_{number}"]
            assert demo.attrs["num_samples"] == run.num_frames
            assert json.loads(demo.attrs["ep_meta"])["lang"] == run.episode.instructions[0]
            assert demo.attrs["content_digest"] == run.episode.content_digest
            for camera in ("wrist", "front"):
                np.testing.assert_array_equal(demo[f"obs/{camera}"][:], frames_of(run, camera))
                assert demo[f"obs/{camera}"].chunks == (1, 64, 64, 3)
            np.testing.assert_array_equal(demo["actions"][:], run.actions())
            np.testing.assert_array_equal(demo["states"][:], run.state())
            assert demo["obs/state"] == demo["states"]
            assert demo["actions"].dtype == np.float64
            assert demo["dones"][:].tolist() == [0] * (run.num_frames - 1) + [1]
        assert file["mask/all"][:].tolist() == [b"demo_0", b"demo_1", b"demo_2"]
        assert {run.episode.task for run in runs} | {"all"} == set(file["mask"])
        assert sorted(len(listed) for listed in file["mask"].values()) == [1, 2, 3]


def test_the_same_bytes_and_nothing_to_do_twice(small: Dataset, footage: Dataset, tmp_path: Path) -> None:
    one, other = tmp_path / "one.hdf5", tmp_path / "other.hdf5"
    made = export_hdf5([small], one, Hdf5Options(), workers=1)
    export_hdf5([small], other, Hdf5Options(), workers=3)
    assert one.read_bytes() == other.read_bytes()
    assert export_hdf5([small], one, Hdf5Options(), progress=lambda _: pytest.fail("it was there")) == made
    with pytest.raises(ExportError, match="an export of other data or options"):
        export_hdf5([footage], one, Hdf5Options())
    with pytest.raises(ExportError, match="something is there already"):
        export_hdf5([small], tmp_path, Hdf5Options())
    assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.hdf5", "other.hdf5"]


def test_without_actions(footage: Dataset, tmp_path: Path) -> None:
    export_hdf5([footage], tmp_path / "footage.hdf5", Hdf5Options())
    with h5py.File(tmp_path / "footage.hdf5") as file:
        assert set(file["data/demo_0"]) == {"obs"}
        assert set(file["data/demo_0/obs"]) == {"main"}


def as_robomimic(recorded: Path, path: Path) -> None:
    """Writes a LIBERO demo as robomimic would: `obs[t]` before `actions[t]`, rows upright."""
    with h5py.File(recorded) as file, h5py.File(path, "w") as derived:
        demo, target = file["data/demo_0"], derived.create_group("data/demo_0")
        environment = json.loads(file["data"].attrs["env_args"]) | {"env_name": "MiddleDrawer_D0"}
        derived["data"].attrs["env_args"] = json.dumps(environment)
        target.attrs["ep_meta"] = json.dumps({"instructions": ["open it", "pull the handle"]})
        target["actions"] = demo["actions"][1:]
        target["obs/agentview_image"] = demo["obs/agentview_rgb"][:-1][:, ::-1]
        columns = {"robot0_gripper_qpos": (0, 2), "robot0_eef_pos": (2, 5), "robot0_eef_quat": (5, 9)}
        for name, (start, stop) in columns.items():
            target[f"obs/{name}"] = demo["robot_states"][:-1, start:stop]


def test_the_robomimic_source_reads_back_what_it_read(recordings: Path, tmp_path: Path) -> None:
    as_robomimic(recordings / "libero/open_the_middle_drawer_of_the_cabinet_demo.hdf5", tmp_path / "recorded.hdf5")
    sets = []
    for number, recorded_name in enumerate(("agentview_image", "front")):
        options = IngestOptions(
            source=SourceOptions(cameras={"front": recorded_name}), clip=ClipOptions(codec="ffv1"), clip_starts=40
        )
        file = tmp_path / ("exported.hdf5" if number else "recorded.hdf5")
        ingest("robomimic", [file], tmp_path / f"set-{number}", options, workers=1)
        sets.append(Dataset.open(tmp_path / f"set-{number}"))
        if not number:
            export_hdf5(sets, tmp_path / "exported.hdf5", Hdf5Options())
    (one,), (other,) = (assemble([dataset]) for dataset in sets)
    np.testing.assert_array_equal(one.actions(), other.actions())
    np.testing.assert_array_equal(one.state(), other.state())
    np.testing.assert_array_equal(frames_of(one, "front"), frames_of(other, "front"))
    for name in ("task", "fps", "instructions"):
        assert getattr(one.episode, name) == getattr(other.episode, name)
    assert one.episode.instructions == ("open it", "pull the handle")


@pytest.mark.parametrize("limit", [10_000, 1_000_000])
def test_a_full_disk_is_an_error_and_leaves_nothing_at_out(small: Dataset, tmp_path: Path, limit: int) -> None:
    out = tmp_path / "small.hdf5"
    done = subprocess.run(
        [sys.executable, "-m", "vpdata", "export", "hdf5", small.place, "--out", str(out)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert not out.exists()
    export_hdf5([small], out, Hdf5Options())
    assert [path.name for path in tmp_path.iterdir()] == ["small.hdf5"]
