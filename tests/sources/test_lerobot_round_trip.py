"""What `vpdata export lerobot` writes, `vpdata ingest lerobot` reads back: the same rows, spaces and language."""

from pathlib import Path

import numpy as np
import pytest
from reading import episodes, read
from typer.testing import CliRunner

from vpdata.cli.app import app
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset


@pytest.mark.parametrize("version", ["3.0", "2.1"])
def test_an_export_is_read_back(recordings: Path, tmp_path: Path, version: str) -> None:
    original = recordings / "lerobot/v30_av1"
    ingest("lerobot", [original], tmp_path / "set", IngestOptions(), workers=1)
    dataset = Dataset.open(tmp_path / "set")
    command = ["export", "lerobot", str(tmp_path / "set"), "--out", str(tmp_path / "out"), "--format-version", version]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    back = episodes("lerobot", tmp_path / "out")
    assert len(back) == len(dataset.clips) == 4
    assert {len(clip.episode.instructions) for clip in dataset.clips} == {1, 2}
    for episode, clip in zip(back, dataset.clips, strict=True):
        theirs = clip.episode
        assert (episode.num_frames, episode.num_actions) == (theirs.num_frames, theirs.num_actions)
        assert (episode.action_space, episode.state_space) == (theirs.action_space, theirs.state_space)
        assert [camera.name for camera in episode.cameras] == [camera.name for camera in theirs.cameras]
        assert episode.instructions == theirs.instructions
        assert "max_time_error_seconds" not in episode.attributes
        frames, actions, state = read("lerobot", tmp_path / "out", episode)
        np.testing.assert_array_equal(actions, dataset.actions(clip))
        np.testing.assert_array_equal(state, dataset.state(clip))
        for camera in theirs.cameras:
            stored = dataset.frames(clip, camera.name, range(clip.num_frames)).astype(int)
            assert np.abs(frames[camera.name] - stored).mean() < 1.0
