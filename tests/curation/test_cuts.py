"""Scene cuts: found in joined real recordings, and the same as PySceneDetect finds when it sees the frames itself."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector
from scenedetect.stats_manager import StatsManager

from tests.curation import planted
from vpdata.curation.cuts import find_cuts
from vpdata.curation.measure import measure
from vpdata.curation.thresholds import Thresholds
from vpdata.curation.watch import shrink
from vpdata.sources.decoder import Decoder
from vpdata.sources.timeline import read_timeline


@pytest.fixture(scope="module")
def reels(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[planted.Reel, Path]]:
    pieces, rng, folder = planted.scenes(recordings), random.Random(8), tmp_path_factory.mktemp("reels")
    made = []
    for number, options in enumerate(planted.ENCODERS):
        reel = planted.concatenation(pieces, rng, num_scenes=18)
        made.append((reel, reel.write(folder / f"{number}.mp4", options)))
    return made


def test_precision_and_recall_on_joined_recordings(reels: list[tuple[planted.Reel, Path]]) -> None:
    num_found = num_planted = num_right = 0
    for reel, path in reels:
        found = set(find_cuts(measure(path).columns["content"], Thresholds()))
        num_found, num_planted = num_found + len(found), num_planted + len(reel.cuts)
        num_right += len(found & set(reel.cuts))  # to the frame
    assert num_planted == 51
    assert num_right / num_found >= 0.95
    assert num_right / num_planted >= 0.95


def test_no_cut_in_recordings_of_one_scene(recordings: Path) -> None:
    for path in sorted((recordings / "video").iterdir()):
        assert find_cuts(measure(path).columns["content"], Thresholds()) == (), path.name


def test_the_scores_and_cuts_are_those_of_pyscenedetect(reels: list[tuple[planted.Reel, Path]]) -> None:
    reel, path = reels[0]
    thresholds = Thresholds()
    detector = AdaptiveDetector(
        adaptive_threshold=thresholds.cut_ratio,
        min_scene_len=0,
        window_width=thresholds.cut_window_frames,
        min_content_val=thresholds.cut_content,
        luma_only=True,
    )
    detector.stats_manager = StatsManager()
    measured = measure(path)
    timecodes = [FrameTimecode(i, fps=20.0) for i in range(len(measured))]
    expected = []
    with Decoder(path, read_timeline(path, fps=None)) as decoder:
        for timecode, luma in zip(timecodes, decoder.lumas(), strict=True):
            assert not luma.is_full_range
            grey = np.clip(np.rint((shrink(luma.pixels).astype(np.float64) - 16) * 255 / 219), 0, 255).astype(np.uint8)
            expected += detector.process_frame(timecode, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    scores = [detector.stats_manager.get_metrics(timecode, ["content_val"])[0] for timecode in timecodes[1:]]
    np.testing.assert_allclose(measured.columns["content"][1:], np.array(scores, np.float64), rtol=1e-5)
    inside = range(thresholds.cut_window_frames + 1, len(measured) - thresholds.cut_window_frames)
    ours = [cut for cut in find_cuts(measured.columns["content"], thresholds) if cut in inside]
    assert ours == [cut.frame_num for cut in expected if cut.frame_num in inside]
    assert len(ours) >= 0.9 * len(reel.cuts)


def test_a_cut_next_to_either_end_is_found() -> None:
    content = np.full(20, 0.5, np.float32)
    content[[0, 1, 19]] = 0.0, 40.0, 40.0
    assert find_cuts(content, Thresholds()) == (1, 19)


def test_a_start_of_motion_next_to_the_ends_is_no_cut() -> None:
    content = np.full(20, 0.5, np.float32)
    content[[0, 1, 19]] = 0.0, 6.0, 6.0
    assert find_cuts(content, Thresholds()) == ()


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_a_few_frames_have_no_cut(num_frames: int) -> None:
    assert find_cuts(np.zeros(num_frames, np.float32), Thresholds()) == ()


def test_thresholds_count() -> None:
    content = np.full(40, 2.0, np.float32)
    content[20] = 8.0
    assert find_cuts(content, Thresholds()) == (20,)
    assert find_cuts(content, Thresholds(cut_ratio=4.5)) == ()
    assert find_cuts(content, Thresholds(cut_content=8.5)) == ()
