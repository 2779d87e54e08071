"""The real LIBERO: a rendered state looks like what LIBERO's own writer recorded there, and a policy can act."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.sources.reading import episodes, read
from vpdata.simulators import EnvironmentOptions
from vpdata.simulators.demos import RenderOptions, render
from vpdata.simulators.process import start

TASK = "libero_goal/open_the_middle_drawer_of_the_cabinet"
RAW_DEMO, RECORDED_DEMO = "demo_1", "demo_0"  # LIBERO's writer numbers the demos anew, in text order
NUM_STEPS = 30  # of the demo, so that the test is short


@pytest.fixture
def data() -> Path:
    """The folder of larger recordings: $VPDATA_RECORDINGS, or `../shared/data` beside the repository."""
    folder = Path(os.environ.get("VPDATA_RECORDINGS", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not (folder / "libero_states_only").is_dir():
        pytest.skip(f"NO LIBERO RECORDINGS in {folder} (set VPDATA_RECORDINGS): nothing here compares renderings.")
    return folder


@pytest.mark.slow
def test_rendered_states_look_as_they_were_recorded(libero_python: Path, data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "demo.hdf5"
    with h5py.File(data / f"libero_states_only/{TASK}/demo.hdf5") as file, h5py.File(raw, "w") as short:
        group = short.create_group("data")
        for name, value in file["data"].attrs.items():
            group.attrs[name] = value
        demo = group.create_group(RAW_DEMO)
        demo.attrs["model_file"] = file["data"][RAW_DEMO].attrs["model_file"]
        for name in ("states", "actions"):
            demo[name] = file["data"][RAW_DEMO][name][:NUM_STEPS]
    (made,) = render([raw], tmp_path / "out", RenderOptions(layout="libero", size=128), workers=1, python=libero_python)
    (episode,) = episodes("libero", made)
    recorded_path = data / f"libero/{TASK}_demo.hdf5"
    recorded = next(one for one in episodes("libero", recorded_path) if one.episode_id == RECORDED_DEMO)
    frames, actions, state = read("libero", made, episode)
    original, original_actions, original_state = read("libero", recorded_path, recorded)
    assert (episode.task, episode.instructions) == (recorded.task, recorded.instructions)
    assert actions is not None
    assert original_actions is not None
    np.testing.assert_array_equal(actions, original_actions[: len(actions)])
    np.testing.assert_allclose(np.asarray(state), np.asarray(original_state)[: len(np.asarray(state))], atol=0.005)
    for camera in ("wrist", "front"):
        shown, expected = frames[camera], original[camera][: len(frames[camera])]
        assert np.median(psnr_db(shown, expected)) > 35
        assert psnr_db(shown, expected).min() > 28  # LIBERO's own pictures lag the state by one step of the physics
        assert np.median(psnr_db(shown[1:], expected[:-1])) < 30  # and one step of control apart is much worse


def psnr_db(frames: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of every frame (T,)."""
    error = np.mean((frames.astype(float) - expected) ** 2, axis=(1, 2, 3))
    return np.asarray(10 * np.log10(255**2 / error))


@pytest.mark.slow
def test_a_policy_acts_from_the_benchmarks_states(libero_python: Path) -> None:
    options = EnvironmentOptions(task=TASK, cameras={"front": "agentview"}, size=64)
    with start(libero_python) as environment:
        environment.make("libero", options)
        assert environment.info.instruction == "open the middle layer of the drawer"
        first = environment.reset(0)
        for _ in range(5):
            raised = environment.step(np.array([0, 0, 1, 0, 0, 0, -1.0]))
        assert raised.state[2] > first.state[2] + 0.02
        assert not raised.success
        again = environment.reset(0)
        np.testing.assert_allclose(again.state, first.state, atol=1e-6)
