"""RoboCasa365: what is read of a demo equals what its HDF5 file holds, in whatever order the columns are stored."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lerobot_sets import (
    ACTION_ORDER,
    CAMERAS_365,
    STATE_PARTS,
    edit_json,
    frames_of,
    modality,
    write_robocasa365,
    write_rows_365,
)
from reading import assert_same_frames, describe, episodes, errors, read, response

from vpdata import sources
from vpdata.errors import SourceError
from vpdata.sources import SourceOptions

HDF5 = "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
DEMOS = ("demo_0", "demo_1")
MODALITY = "meta/modality.json"


@pytest.fixture(scope="module")
def original(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demos of CloseDrawer in RoboCasa365's layout. To be read only."""
    out = tmp_path_factory.mktemp("robocasa365") / "CloseDrawer/20250801/lerobot"
    write_robocasa365(recordings / HDF5, out, demos=DEMOS)
    return out


@pytest.fixture
def changed(original: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(original, tmp_path / "lerobot"))


def test_describes_as_the_hdf5_does(original: Path, recordings: Path) -> None:
    theirs = episodes("robocasa", recordings / HDF5)[:2]
    for ours, other in zip(episodes("robocasa365", original.parents[1]), theirs, strict=True):
        assert ours.file == "20250801/lerobot"
        assert [(c.name, c.height, c.width) for c in ours.cameras] == [
            (c.name, c.height, c.width) for c in other.cameras
        ]
        assert (ours.action_space, ours.state_space) == (other.action_space, other.state_space)
        assert (ours.instructions, ours.task, ours.fps) == (other.instructions, other.task, other.fps)
        assert (ours.num_frames, ours.num_actions) == (other.num_frames, other.num_actions)
        for key in ("layout_id", "style_id"):
            assert ours.attributes[key] == other.attributes[key]
        assert ours.attributes["robot_type"] == "PandaOmron"


@pytest.fixture(scope="module")
def rewritten(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose rows are written again and again."""
    return Path(shutil.copytree(original, tmp_path_factory.mktemp("rewritten") / "lerobot"))


@given(action_order=st.permutations(ACTION_ORDER), state_order=st.permutations(tuple(STATE_PARTS)))
@settings(max_examples=20)
def test_rows_are_those_of_the_hdf5(
    rewritten: Path, recordings: Path, action_order: Sequence[str], state_order: Sequence[str]
) -> None:
    said = modality(action_order=action_order, state_order=state_order)
    write_rows_365(recordings / HDF5, rewritten, demos=DEMOS, said=said)
    compare_rows(rewritten, recordings / HDF5)


def test_rows_in_the_order_that_robocasa365_has(original: Path, recordings: Path) -> None:
    compare_rows(original, recordings / HDF5)


def compare_rows(root: Path, hdf5: Path) -> None:
    plugin, other = sources.load("robocasa365"), sources.load("robocasa")
    for ours, theirs in zip(episodes("robocasa365", root), episodes("robocasa", hdf5)[:2], strict=True):
        with (
            plugin.open(plugin.find(root)[0], ours, SourceOptions()) as reader,
            other.open(other.find(hdf5)[0], theirs, SourceOptions()) as expected,
        ):
            for rows, wanted in ((reader.actions, expected.actions), (reader.state, expected.state)):
                assert rows is not None
                assert wanted is not None
                assert rows.dtype == wanted.dtype == np.float64
                np.testing.assert_array_equal(rows, wanted)


def test_frames_are_those_of_the_videos(original: Path) -> None:
    for episode in episodes("robocasa365", original):
        frames, actions, state = read("robocasa365", original, episode)
        for camera, name in zip(episode.cameras, CAMERAS_365, strict=True):
            path = original / f"videos/chunk-000/observation.images.{name}/{episode.episode_id}.mp4"
            assert_same_frames(frames[camera.name], np.stack(frames_of(path)))
        assert actions is not None
        assert state is not None
        before, now, after = (response(state[:, 7:10], actions, lag) for lag in (-1, 0, 1))
        assert now > max(0.5, before)
        assert after < 0.25


def test_cameras_and_language_may_be_said(original: Path) -> None:
    options = SourceOptions(cameras={"left": "robot0_agentview_left"}, instruction="shut it")
    episode = episodes("robocasa365", original, options)[0]
    assert [c.name for c in episode.cameras] == ["left"]
    assert episode.instructions == ("shut it",)


def test_language_of_the_rows_where_ep_meta_has_none(changed: Path) -> None:
    meta = changed / "extras/episode_000000/ep_meta.json"
    edit_json(meta, lambda value: value.update(lang="push the drawer in", success=False))
    first, second = episodes("robocasa365", changed)
    assert (first.instructions, first.attributes["success"]) == (("push the drawer in",), False)
    edit_json(meta, lambda value: value.pop("lang"))
    assert episodes("robocasa365", changed)[0].instructions == second.instructions == ("close the right drawer",)


def test_what_extras_say_is_part_of_the_digest(changed: Path, original: Path) -> None:
    before = [e.content_digest for e in episodes("robocasa365", original)]
    assert [e.content_digest for e in episodes("robocasa365", changed)] == before
    edit_json(changed / "extras/episode_000001/ep_meta.json", lambda value: value.update(layout_id=9))
    after = [e.content_digest for e in episodes("robocasa365", changed)]
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["action"].pop("control_mode"),
        lambda said: said["action"].update(torso={"original_key": "action", "start": 3, "end": 4}),
        lambda said: said["action"]["base_motion"].update(end=3),
        lambda said: said["action"]["control_mode"].update(start=5, end=6),
        lambda said: said["action"]["gripper_close"].update(original_key="observation.state"),
        lambda said: said["state"]["gripper_qpos"].update(start=20, end=22),
        lambda said: said["state"]["base_position"].update(start=None),
        lambda said: said.pop("state"),
    ],
)
def test_rows_of_another_make_are_refused(changed: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit_json(changed / MODALITY, change)
    with pytest.raises(SourceError, match=r"modality\.json: (action|state) is not made of .*vpdata ingest lerobot"):
        describe("robocasa365", changed)


def test_features_of_another_robot_are_refused(changed: Path) -> None:
    edit_json(changed / "meta/info.json", lambda info: info["features"]["action"].update(shape=[7]))
    with pytest.raises(SourceError, match=r"'action' is \(7,\), not \(12,\)"):
        describe("robocasa365", changed)


def test_missing_extras_are_named(changed: Path) -> None:
    (changed / "extras/episode_000001/ep_meta.json").unlink()
    found = describe("robocasa365", changed)
    assert "episode_000001/ep_meta.json: is missing" in str(found[1])
    assert len(errors("robocasa365", changed)) == 1
    (changed / "extras/dataset_meta.json").write_text(json.dumps({}))
    with pytest.raises(SourceError, match=r"dataset_meta\.json: there is no env_args\.env_name"):
        describe("robocasa365", changed)


def test_other_lerobot_data_sets_are_not_taken_for_it(recordings: Path) -> None:
    with pytest.raises(SourceError, match="no RoboCasa365 data set"):
        describe("robocasa365", recordings / "lerobot")
