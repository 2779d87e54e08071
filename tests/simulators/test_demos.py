"""Rendering demos that hold only states: what is seen when, what is reused, and what cannot be rendered."""

import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.sources.reading import episodes, read
from vpdata.cli.app import app
from vpdata.errors import SimulatorError, SourceError, VpdataError
from vpdata.ingest import IngestOptions, ingest
from vpdata.ingest.render import RenderTo, rendered
from vpdata.simulators.demos import RenderOptions, holds_only_states, render
from vpdata.sources import SourceOptions

RECORDED = "libero/pick_up_the_alphabet_soup_and_place_it_in_the_basket_demo.hdf5"
TASK = "libero_object/stack_the_blocks"
NUM_STEPS = 20
OPTIONS = RenderOptions(layout="libero", size=16)


@pytest.fixture
def raw(recordings: Path, tmp_path: Path) -> Path:
    """Two demos as LIBERO's recorder writes them: the first steps of recorded ones, without what was seen."""
    path = tmp_path / "raw" / "demo.hdf5"
    path.parent.mkdir()
    with h5py.File(recordings / RECORDED) as recorded, h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["bddl_file_name"] = f"/home/user/LIBERO/libero/libero/bddl_files/{TASK}.bddl"
        data.attrs["problem_info"] = recorded["data"].attrs["problem_info"]
        data.attrs["env_info"] = json.dumps({"robots": ["Panda"]})
        for name in ("demo_2", "demo_10"):
            demo = data.create_group(name)
            demo.attrs["model_file"] = '<mesh file="/home/user/LIBERO/libero/libero/assets/bowl.obj"/>'
            states = recorded[f"data/{name}/states"][:NUM_STEPS]
            states[:, 0] = np.arange(NUM_STEPS) / 20  # as the recorder does, time counts from 0
            demo["states"], demo["actions"] = states, recorded[f"data/{name}/actions"][:NUM_STEPS]
        file["mask/second"] = np.array([b"demo_10"])
    return path


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("stand_ins")
def test_a_frame_shows_the_state_before_its_action(raw: Path, tmp_path: Path) -> None:
    (made,) = render([raw], tmp_path / "out", OPTIONS, workers=2)
    assert made == tmp_path / f"out/{TASK}_demo.hdf5"
    first, second = episodes("libero", made)
    assert (first.episode_id, second.episode_id) == ("demo_2", "demo_10")
    assert (first.task, first.instructions) == (
        "stack_the_blocks",
        ("pick the alphabet soup and place it in the basket",),
    )
    assert first.attributes == {"success": True}
    frames, actions, state = read("libero", made, first)
    assert actions is not None
    assert state is not None
    with h5py.File(raw) as file:
        states, recorded = file["data/demo_2/states"][:], file["data/demo_2/actions"][:]
    # LIBERO drops 5 steps, and its first frame is seen after the first action that is left.
    np.testing.assert_array_equal(frames["front"][:, -1, 0, 0], np.arange(6, NUM_STEPS))
    np.testing.assert_array_equal(actions, recorded[6 : NUM_STEPS - 1])
    np.testing.assert_array_equal(state[:, :3], states[6:, 1:4])
    np.testing.assert_array_equal(state[:, 6:], states[6:, 8:10])
    for camera in ("wrist", "front"):
        assert (frames[camera][:, 0] == 255).all()  # upright
    with h5py.File(made) as file:
        np.testing.assert_array_equal(file["data/demo_2/dones"][:], [0] * 11 + [1] * 3)


@pytest.mark.usefixtures("stand_ins")
def test_robocasa_shows_the_state_before_the_action_as_it_is(recordings: Path, tmp_path: Path) -> None:
    """By a stand-in alone: nothing here has seen the real RoboCasa."""
    raw = tmp_path / "demo.hdf5"
    recorded = recordings / "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
    with h5py.File(recorded) as source, h5py.File(raw, "w") as file:
        data = file.create_group("data")
        data.attrs["env"], data.attrs["env_info"] = "CloseDrawer", json.dumps({"robots": "PandaOmron"})
        demo = data.create_group("demo_1")
        demo.attrs["model_file"], demo.attrs["ep_meta"] = "<mujoco/>", source["data/demo_1"].attrs["ep_meta"]
        states = source["data/demo_1/states"][:10]
        states[:, 0] = np.arange(10) / 20
        demo["states"], demo["actions"] = states, source["data/demo_1/actions"][:10]
    (made,) = render([raw], tmp_path / "out", RenderOptions(layout="robocasa", size=16), workers=1)
    (episode,) = episodes("robocasa", made)
    assert (episode.task, episode.instructions) == ("CloseDrawer", ("close the right drawer",))
    assert (episode.num_frames, episode.num_actions, episode.attributes["success"]) == (10, 10, True)
    frames, actions, state = read("robocasa", made, episode)
    np.testing.assert_allclose(np.asarray(state), states[:, 1:17], atol=1e-6)
    with h5py.File(raw) as file:
        np.testing.assert_array_equal(np.asarray(actions), file["data/demo_1/actions"][:])
    for camera in ("wrist", "left", "right"):
        assert (frames[camera][:, 0] == 255).all()
        np.testing.assert_array_equal(frames[camera][:, -1, 0, 0], np.arange(10))


@pytest.mark.usefixtures("stand_ins")
def test_a_demo_in_the_raw_file_needs_what_it_is_rendered_from(raw: Path, tmp_path: Path) -> None:
    with h5py.File(raw, "r+") as file:
        del file["data/demo_10/states"]
    with pytest.raises(SimulatorError, match=r"demo_10.*no states"):
        render([raw], tmp_path / "out", OPTIONS, workers=1)
    assert not (tmp_path / f"out/{TASK}_demo.hdf5").exists()


@pytest.mark.usefixtures("stand_ins")
def test_other_cameras_and_one_list_of_demos(raw: Path, tmp_path: Path) -> None:
    options = RenderOptions(layout="libero", size=16, cameras={"side": "frontview_rgb"}, filter_key="second")
    (made,) = render([raw], tmp_path / "out", options, workers=1)
    (episode,) = episodes("libero", made, SourceOptions(cameras={"side": "frontview_rgb"}, filter_key="second"))
    assert (episode.episode_id, [camera.name for camera in episode.cameras]) == ("demo_10", ["side"])


@pytest.mark.usefixtures("stand_ins")
def test_a_rendering_is_found_again_and_another_one_refused(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (made,) = render([raw], out, OPTIONS, workers=1)
    first = made.stat().st_mtime_ns
    assert render([raw], out, OPTIONS, workers=1, python=Path("/no/such/python")) == [made]
    assert made.stat().st_mtime_ns == first
    with pytest.raises(SimulatorError, match=r"no rendering of .* at this size"):
        render([raw], out, RenderOptions(layout="libero", size=32), workers=1)
    with pytest.raises(SimulatorError, match="would both be rendered"):
        render([raw, raw], out, OPTIONS, workers=1)


@pytest.mark.usefixtures("stand_ins")
def test_a_killed_rendering_goes_on_with_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    render([raw], tmp_path / "whole", OPTIONS, workers=1)
    code = f"""if 1:
        from pathlib import Path
        from vpdata.simulators.demos import RenderOptions, render
        import os, signal
        options = RenderOptions(layout="libero", size=16)
        render([Path({str(raw)!r})], Path({str(tmp_path / "killed")!r}), options, workers=1,
               progress=lambda count: count and os.kill(os.getpid(), signal.SIGKILL))
    """
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    assert [Path(name).suffix for name in bytes_of(tmp_path / "killed")] == [".hdf5"]  # one demo of two
    left = []
    render([raw], tmp_path / "killed", OPTIONS, workers=1, progress=left.append)
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "whole")


@pytest.mark.usefixtures("stand_ins")
def test_what_has_images_is_ingested_beside_what_was_rendered(recordings: Path, raw: Path, tmp_path: Path) -> None:
    to = RenderTo(folder=tmp_path / "out", size=64, workers=1)
    instead = rendered("libero", [recordings / RECORDED, raw.parent], to, SourceOptions())
    assert instead == [recordings / RECORDED, tmp_path / f"out/{TASK}_demo.hdf5"]
    manifest = ingest("libero", instead, tmp_path / "set", IngestOptions(), workers=1)
    assert manifest.num_episodes == 11 + 2


@pytest.mark.usefixtures("stand_ins")
def test_the_command_renders_and_ingests(raw: Path, tmp_path: Path) -> None:
    folders = ["--render", str(tmp_path / "rendered"), "--out", str(tmp_path / "set")]
    command = ["ingest", "libero", str(raw), *folders, "--workers", "1"]
    result = CliRunner().invoke(app, [*command, "--size", "32x64"])
    assert result.exit_code == 2
    assert "square --size" in result.stderr
    result = CliRunner().invoke(app, [*command, "--size", "32", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["episodes"] == 2
    assert json.loads(CliRunner().invoke(app, [*command, "--size", "32", "--json"]).stdout)["episodes"] == 2


def test_the_recordings_hold_images_and_the_raw_file_does_not(recordings: Path, raw: Path, tmp_path: Path) -> None:
    assert holds_only_states(raw)
    assert not holds_only_states(recordings / RECORDED)
    (tmp_path / "text.hdf5").write_text("text")
    assert not holds_only_states(tmp_path / "text.hdf5")  # the source says what it is


def test_without_render_the_error_says_how(raw: Path) -> None:
    with pytest.raises(SourceError, match=r"no images, only states.*--render DIR"):
        episodes("libero", raw)


@pytest.mark.parametrize("source", ["libero", "robocasa"])
def test_a_missing_simulator_is_named(raw: Path, tmp_path: Path, source: str) -> None:
    with h5py.File(raw, "r+") as file:
        file["data"].attrs["env"] = "CloseDrawer"
    options = RenderOptions(layout=source, size=16)
    with pytest.raises(SimulatorError, match=f"needs the package '{source}', which {re.escape(sys.executable)} lacks"):
        render([raw], tmp_path / "out", options, workers=1)


def test_only_demos_of_simulators_are_rendered(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(VpdataError, match="of the source video are not rendered"):
        rendered("video", [recordings / "video"], RenderTo(folder=tmp_path, size=16), SourceOptions())
