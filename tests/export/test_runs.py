"""Episodes put together again from their clips, against the recordings."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from vpdata.errors import ExportError
from vpdata.export.layout import common_layout
from vpdata.export.runs import Run, assemble
from vpdata.sets import operations
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset


def test_every_frame_and_action_of_the_recording_comes_once(kitchen: Dataset, recordings: Path) -> None:
    runs = assemble([kitchen])
    assert [run.num_frames for run in runs] == [run.episode.num_frames for run in runs]
    assert max(len(run.takes) for run in runs) > 2
    for run in runs:
        with h5py.File(recordings / "robocasa" / run.episode.file) as file:
            demo = file["data"][run.episode.episode_id]
            np.testing.assert_array_equal(run.actions(), demo["actions"][:])
            np.testing.assert_array_equal(run.state()[:, 7:10], demo["obs/robot0_base_to_eef_pos"][:])
            recorded = demo["obs/robot0_eye_in_hand_image"][:]
        shown = np.stack(list(run.frames("wrist", range(run.num_frames))))
        error = np.square(shown.astype(float) - recorded).mean(axis=(1, 2, 3))
        assert error.max() < 255**2 / 10**3.2  # 32 dB, which the codec promises; other frames are further off
        assert np.square(shown[1:].astype(float) - recorded[:-1]).mean() > 2 * error.mean()


def test_frames_at_some_indices(kitchen: Dataset) -> None:
    run = assemble([kitchen])[0]
    everything = list(run.frames("left", range(run.num_frames)))
    indices = [0, 39, 40, 41, 80, run.num_frames - 1]
    for index, frame in zip(indices, run.frames("left", indices), strict=True):
        np.testing.assert_array_equal(frame, everything[index])


def test_a_frame_without_an_action_is_left_out(small: Dataset) -> None:
    for run in assemble([small]):
        assert run.labelled
        assert run.num_frames == run.episode.num_actions == run.episode.num_frames - 1
        assert len(run.actions()) == len(run.state()) == run.num_frames


def test_gaps_are_refused_or_split_at(kitchen: Dataset, tmp_path: Path) -> None:
    write(operations.keep(kitchen, "start_frame != 40 or task != 'CloseDrawer'"), tmp_path / "gaps")
    gaps = Dataset.open(tmp_path / "gaps")
    with pytest.raises(ExportError, match=r"demo_\d+: frames 71 to 79 of \d+ are in no clip\. Give --split-at-gaps"):
        assemble([gaps])
    whole = {run.name: run for run in assemble([kitchen])}
    runs = assemble([gaps], split_at_gaps=True)
    split = [run for run in runs if whole[run.name].num_frames != run.num_frames]
    assert len(runs) > len(whole)
    assert [(run.start, run.start + run.num_frames) for run in split] == [
        (0, 71),
        (80, 123),
        (0, 71),
        (80, 135),
        (0, 71),
    ]
    for run in split:
        rows = slice(run.start, run.start + run.num_frames)
        np.testing.assert_array_equal(run.actions(), whole[run.name].actions()[rows])
        shown, expected = (next(iter(r.frames("wrist", [i]))) for r, i in ((run, 3), (whole[run.name], run.start + 3)))
        assert np.abs(shown.astype(int) - expected).mean() < 3  # from other clips, encoded apart


@pytest.mark.parametrize(("query", "missing"), [("start_frame != 0", "0 to 39"), ("start_frame < 80", r"111 to \d+")])
def test_missing_ends_are_gaps(kitchen: Dataset, tmp_path: Path, query: str, missing: str) -> None:
    write(operations.keep(kitchen, query), tmp_path / "gaps")
    with pytest.raises(ExportError, match=f"frames {missing} of"):
        assemble([Dataset.open(tmp_path / "gaps")])


def test_shuffled_clips_find_their_places(kitchen: Dataset, tmp_path: Path) -> None:
    write(operations.reshard(kitchen, shuffle=7), tmp_path / "shuffled")

    def by_name(runs: list[Run]) -> dict[str, list[str]]:
        return {run.name: [clip.key for clip, _ in run.clips()] for run in runs}

    assert by_name(assemble([Dataset.open(tmp_path / "shuffled")])) == by_name(assemble([kitchen]))


def test_a_recording_in_two_data_sets_is_refused(kitchen: Dataset, tmp_path: Path) -> None:
    write(operations.keep(kitchen, "task == 'OpenDrawer'"), tmp_path / "part")
    with pytest.raises(ExportError, match=r"part: a recording in it is also in .*merge --keep-first"):
        assemble([kitchen, Dataset.open(tmp_path / "part")])


def test_labelled_and_action_free_are_told_apart(kitchen: Dataset, footage: Dataset) -> None:
    with pytest.raises(ExportError, match=r"4 episodes have actions and 2 have none; .*--only labelled"):
        assemble([kitchen, footage])
    assert [run.labelled for run in assemble([kitchen, footage], only="labelled")] == [True] * 4
    assert [run.labelled for run in assemble([kitchen, footage], only="action-free")] == [False] * 2
    with pytest.raises(ExportError, match="no episode to export that is labelled"):
        assemble([footage], only="labelled")


def test_unlike_episodes_are_refused_with_what_tells_them_apart(kitchen: Dataset, small: Dataset) -> None:
    with pytest.raises(ExportError, match=r"cameras: front 64x64, wrist 64x64 here, and left 128x128, .*vpdata filter"):
        common_layout(assemble([kitchen, small]))
