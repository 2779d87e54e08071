"""Copies of real recordings are found through the command line; other demonstrations of the same task are not."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.curation.copies_made import cropped, grey, recorded, write_video
from vpdata.cli.app import app
from vpdata.curation.footage import MIN_SCORE, Footage, compare, small
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.cache import FOLDER_VARIABLE

TASK = "pick_up_the_chocolate_pudding_and_place_it_in_the_basket_demo.hdf5"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def demos(recordings: Path) -> list[NDArray[np.uint8]]:
    """Demonstrations of one task in one scene, seen by the fixed camera."""
    return recorded(recordings / "libero" / TASK, "front")


@pytest.fixture(scope="module")
def copied(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of action-free videos: copies of the first demo, and nothing else."""
    folder = tmp_path_factory.mktemp("copied")
    (demo,) = recorded(recordings / "libero" / TASK, "front", num_episodes=1)
    for name, frames, size, crf in (
        ("encoded", demo, (64, 64), 28),
        ("scaled", demo, (120, 160), 28),
        ("cropped", cropped(demo, 0.05), (128, 128), 28),
        ("mirrored", demo[:, :, ::-1], (64, 64), 28),
        ("later", demo[30:], (64, 64), 28),
    ):
        write_video(folder / "raw" / f"{name}.mp4", frames, size=size, crf=crf)
    ingest("video", [folder / "raw"], folder / "copied", IngestOptions(clip_starts=40, window_span=32), workers=2)
    return folder / "copied"


def footage(rgb: NDArray[np.uint8]) -> Footage:
    return Footage(grey=small(grey(rgb)), seconds=np.arange(len(rgb)) / 20)


def duplicates(*arguments: object, exit_code: int) -> dict[str, object]:
    result = CliRunner().invoke(app, ["duplicates", *map(str, arguments), "--json"])
    assert result.exit_code == exit_code, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_demonstrations_of_one_task_are_not_taken_for_copies(demos: list[NDArray[np.uint8]]) -> None:
    small_demos = [footage(demo) for demo in demos]
    scores = [
        compare(first, second, offset_seconds=offset, is_mirrored=False).score
        for i, first in enumerate(small_demos)
        for second in small_demos[i + 1 :]
        for offset in (-0.5, 0.0, 0.5)
    ]
    assert len(scores) >= 3
    assert max(scores) < MIN_SCORE


def test_a_copy_fits_at_its_offset_though_cropped_and_moved(demos: list[NDArray[np.uint8]]) -> None:
    for crop in (cropped(demos[0], 0.05), cropped(demos[0], 0.10, at=0.0), cropped(demos[0], 0.05, at=1.0)):
        likeness = compare(footage(demos[0]), footage(crop[7:]), offset_seconds=-0.25, is_mirrored=False)
        assert likeness.score >= MIN_SCORE
        assert likeness.offset_seconds == pytest.approx(-0.35)
        back = compare(footage(crop[7:]), footage(demos[0]), offset_seconds=0.25, is_mirrored=False)
        assert back.score >= MIN_SCORE
        assert back.offset_seconds == pytest.approx(0.35)


def test_still_footage_is_compared_as_pictures(demos: list[NDArray[np.uint8]]) -> None:
    stills = [footage(np.repeat(demo[:1], 40, axis=0)) for demo in (demos[0], cropped(demos[0], 0.05))]
    assert compare(*stills, offset_seconds=0.0, is_mirrored=False).score >= MIN_SCORE
    other = footage(np.repeat(demos[0][:1, ::-1], 40, axis=0))
    assert compare(stills[0], other, offset_seconds=0.0, is_mirrored=False).score < MIN_SCORE


def test_copies_as_video_of_a_labelled_recording_are_found(datasets: Mapping[str, Path], copied: Path) -> None:
    found = duplicates(copied, "--against", datasets["libero"], exit_code=1)
    pairs = {pair["first"]["episode"]: pair for pair in found["pairs"]}  # type: ignore[attr-defined]
    assert set(pairs) == {"encoded", "scaled", "cropped", "mirrored", "later"}
    assert len(pairs) == len(found["pairs"])  # type: ignore[arg-type]
    for name, pair in pairs.items():
        assert (pair["second"]["file"], pair["second"]["episode"], pair["second"]["camera"]) == (
            TASK,
            "demo_0",
            "front",
        )
        assert pair["offset_seconds"] == pytest.approx(1.5 if name == "later" else 0.0, abs=0.051)
        assert pair["is_mirrored"] == (name == "mirrored")


def test_hashes_are_kept(datasets: Mapping[str, Path], cache: Path) -> None:
    first = duplicates(datasets["video"], exit_code=1)
    (kept,) = (cache / "hashes").iterdir()
    written = kept.stat().st_ino
    assert duplicates(datasets["video"], exit_code=1) == first
    assert kept.stat().st_ino == written
    names = [{pair[side]["file"] for side in ("first", "second")} for pair in first["pairs"]]  # type: ignore[attr-defined]
    assert names == [{"libero_object_soup_005_with_audio.mp4", "libero_object_soup_006_fragmented.mp4"}]


def test_equal_recordings_are_told_without_looking_at_frames(datasets: Mapping[str, Path]) -> None:
    assert duplicates(datasets["robocasa"], exit_code=0)["pairs"] == []
    found = duplicates(datasets["robocasa"], "--against", datasets["robocasa"], exit_code=1)
    assert found["compared"] == 0
    for pair in found["pairs"]:  # type: ignore[attr-defined]
        assert pair["first"] == pair["second"]
        assert pair["score"] == 1.0
