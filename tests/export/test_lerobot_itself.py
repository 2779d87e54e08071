"""LeRobot loads what was exported: 0.4.4 and later v3.0, 0.3.3 v2.1. Both live in environments of their own.

    VPDATA_LEROBOT_V30_PYTHON=…/bin/python VPDATA_LEROBOT_V21_PYTHON=…/bin/python pytest tests/export

`benchmarks/peers/setup.sh` makes the first; `docs/EXPORT.md` says how to make the second.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from seen import actions_of, frames_of, psnr, state_of

from vpdata.export.lerobot import LeRobotOptions, export_lerobot
from vpdata.export.runs import assemble
from vpdata.shards.dataset import Dataset

PYTHONS = {"3.0": "VPDATA_LEROBOT_V30_PYTHON", "2.1": "VPDATA_LEROBOT_V21_PYTHON"}
READER = Path(__file__).parent / "read_lerobot.py"


@pytest.fixture(params=PYTHONS)
def version(request: pytest.FixtureRequest) -> str:
    """A version of the format whose LeRobot is there."""
    named = PYTHONS[request.param]
    if named not in os.environ:
        lost = (
            f"NO LEROBOT for format v{request.param} (set {named}): nothing here checks that LeRobot itself loads it."
        )
        if os.environ.get("VPDATA_REQUIRE_LEROBOT") == "1":
            pytest.fail(lost)
        pytest.skip(lost)
    return str(request.param)


def read_by_lerobot(folder: Path, version: str, tmp_path: Path) -> dict[str, np.ndarray]:
    """What `read_lerobot.py` finds."""
    found = tmp_path / "found.npz"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [os.environ[PYTHONS[version]], str(READER), str(folder), str(found)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return dict(np.load(found))


def test_it_loads_every_frame_and_action(kitchen: Dataset, version: str, tmp_path: Path) -> None:
    out, runs = tmp_path / "out", assemble([kitchen])
    options = LeRobotOptions(format_version=version, max_video_bytes=300_000, max_data_bytes=12_000)
    export_lerobot([kitchen], out, options)
    found = read_by_lerobot(out, version, tmp_path)
    assert found["codebase_version"] == f"v{version}"
    assert found["num_episodes"] == len(runs)
    np.testing.assert_array_equal(found["action"], actions_of(runs))
    np.testing.assert_array_equal(found["observation.state"], state_of(runs))
    assert found["task"].tolist() == [text for run in runs for text in run.episode.instructions * run.num_frames]
    assert found["index_of_last_episode"].tolist() == list(range(len(found["index"])))[-runs[-1].num_frames :]
    assert found["window"].shape == (2, 2, 3, 128, 128)
    for camera in ("wrist", "left", "right"):
        frames = np.concatenate([frames_of(run, camera) for run in runs])
        quality = psnr(found[f"observation.images.{camera}"].transpose(0, 2, 3, 1), frames)
        assert quality.min() > 36  # the frames that were encoded again
        assert np.isinf(quality).mean() > 0.8  # the others, to the bit
        mean = found[f"stats/observation.images.{camera}/mean"]
        np.testing.assert_allclose(mean.ravel(), frames.mean((0, 1, 2)) / 255, atol=0.01)


def test_it_loads_data_without_actions(footage: Dataset, version: str, tmp_path: Path) -> None:
    export_lerobot([footage], tmp_path / "out", LeRobotOptions(format_version=version))
    found = read_by_lerobot(tmp_path / "out", version, tmp_path)
    assert "action" not in found
    assert found["observation.images.main"].shape == (112, 3, 48, 66)
    assert set(found["task"]) == {""}
