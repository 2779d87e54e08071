from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from vpdata.clips.resize import resize
from vpdata.errors import VpdataError
from vpdata.loader.window import Window, WindowSpec, cut_window
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset

SPEC = WindowSpec(num_frames=4, stride=3, horizon=8, height=48, width=64, cameras=("left", "wrist"))


@pytest.fixture(scope="module")
def robocasa(datasets: Mapping[str, Path]) -> Dataset:
    return Dataset.open(datasets["robocasa"])


def cut(dataset: Dataset, clip: Clip, start: int, spec: WindowSpec = SPEC, *, labelled: bool = True) -> Window:
    return cut_window(dataset, clip, start, spec, labelled=labelled, source="r", position=7)


def last_clip(dataset: Dataset) -> Clip:
    return next(clip for clip in dataset.clips if clip.span.stop == clip.episode.num_frames)


def test_frames_are_those_of_the_clip(robocasa: Dataset) -> None:
    clip = robocasa.clips[0]
    window = cut(robocasa, clip, 5)
    assert list(window.frames) == ["left", "wrist"]
    for camera, frames in window.frames.items():
        stored = robocasa.frames(clip, camera, [5, 8, 11, 14])
        assert frames.dtype == np.uint8
        assert frames.shape == (4, 48, 64, 3)
        np.testing.assert_array_equal(frames, resize(stored, height=48, width=64, fit="crop"))
    assert window.frame_mask.tolist() == [True] * 4
    assert (window.key, window.shard, window.source, window.position) == (clip.key, clip.shard, "r", 7)


def test_every_window_has_the_recorded_actions(robocasa: Dataset, recordings: Path) -> None:
    checked = 0
    for clip in robocasa.clips:
        episode = clip.episode
        with h5py.File(recordings / "robocasa" / episode.file) as file:
            recorded = file[f"data/{episode.episode_id}/actions"][()]
        for start in range(0, clip.span.num_starts, 17):
            window = cut(robocasa, clip, start, replace(SPEC, cameras=("wrist",), num_frames=1))
            first = clip.span.start + start
            expected = recorded[first : first + SPEC.horizon]
            assert window.start == first
            assert window.actions is not None
            assert window.actions.dtype == np.float64
            assert window.action_mask.tolist() == [i < len(expected) for i in range(SPEC.horizon)]
            np.testing.assert_array_equal(window.actions[: len(expected)], expected)
            assert not window.actions[len(expected) :].any()
            checked += clip.span.start > 0
    assert checked > 0  # some windows came from a clip that is not its episode's first


def test_state_comes_with_the_frames(robocasa: Dataset) -> None:
    clip = robocasa.clips[0]
    stored = robocasa.state(clip)
    window = cut(robocasa, clip, 2)
    assert stored is not None
    assert window.state is not None
    np.testing.assert_array_equal(window.state, stored[[2, 5, 8, 11]].astype(np.float64))
    assert window.state_space == clip.episode.state_space


def test_past_the_end_the_last_frame_repeats_and_is_masked(robocasa: Dataset) -> None:
    clip = last_clip(robocasa)
    start = clip.num_frames - 5
    window = cut(robocasa, clip, start)
    assert window.frame_mask.tolist() == [True, True, False, False]
    expected = robocasa.frames(clip, "wrist", [start, start + 3, clip.num_frames - 1, clip.num_frames - 1])
    np.testing.assert_array_equal(window.frames["wrist"], resize(expected, height=48, width=64, fit="crop"))
    assert window.action_mask.tolist() == [True] * 5 + [False] * 3


def test_frames_of_the_stored_size_are_untouched(robocasa: Dataset) -> None:
    clip = robocasa.clips[0]
    camera = clip.episode.cameras[0]
    window = cut(robocasa, clip, 0, replace(SPEC, height=camera.height, width=camera.width, cameras=(camera.name,)))
    np.testing.assert_array_equal(window.frames[camera.name], robocasa.frames(clip, camera.name, [0, 3, 6, 9]))


def test_an_action_free_window_shows_what_a_video_would(robocasa: Dataset) -> None:
    window = cut(robocasa, robocasa.clips[0], 0, labelled=False)
    assert window.actions is window.action_space is window.state is window.state_space is None
    assert window.action_mask.tolist() == [False] * SPEC.horizon


def test_a_clip_without_the_asked_cameras_shows_its_first(datasets: Mapping[str, Path]) -> None:
    dataset = Dataset.open(datasets["video"])
    clip = dataset.clips[0]
    window = cut(dataset, clip, 0, labelled=False)
    assert list(window.frames) == [clip.episode.cameras[0].name]
    assert not set(window.frames) & set(SPEC.cameras)


def test_instructions_take_turns_by_position(robocasa: Dataset) -> None:
    clip = robocasa.clips[0]
    several = replace(clip, episode=replace(clip.episode, instructions=("a", "b", "c")))
    shown = [
        cut_window(robocasa, several, 0, SPEC, labelled=True, source="r", position=t).instruction for t in (0, 1, 5)
    ]
    assert shown == ["a", "b", "c"]
    assert cut_window(robocasa, several, 0, SPEC, labelled=True, source="r").instruction == "a"
    silent = replace(clip, episode=replace(clip.episode, instructions=()))
    assert cut(robocasa, silent, 0).instruction == ""


@pytest.mark.parametrize(("num_frames", "horizon"), [(30, 1), (1, 90)])
def test_a_window_longer_than_the_clip_stores_says_how_to_ingest(
    robocasa: Dataset, num_frames: int, horizon: int
) -> None:
    clip = next(clip for clip in robocasa.clips if clip.span.stop < clip.episode.num_frames)
    long = replace(SPEC, num_frames=num_frames, horizon=horizon)
    with pytest.raises(VpdataError, match=f"--window-span {max(88 if num_frames > 1 else 1, horizon)}") as caught:
        cut(robocasa, clip, clip.span.num_starts - 1, long)
    assert caught.value.episode == clip.key
    assert cut(robocasa, last_clip(robocasa), last_clip(robocasa).span.num_starts - 1, long).action_mask.any()


def test_misuse_is_a_value_error(robocasa: Dataset) -> None:
    clip = robocasa.clips[0]
    with pytest.raises(ValueError, match="start"):
        cut(robocasa, clip, clip.span.num_starts)
    with pytest.raises(ValueError, match="has no actions"):
        cut(robocasa, replace(clip, num_actions=0), 0)
    with pytest.raises(ValueError, match="stride = 0"):
        replace(SPEC, stride=0)
    with pytest.raises(ValueError, match="distinct"):
        replace(SPEC, cameras=("wrist", "wrist"))
