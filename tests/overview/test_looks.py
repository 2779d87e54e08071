"""What windows look like, against the frames themselves."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from vpdata.overview.facts import Footage
from vpdata.overview.footage import sample
from vpdata.overview.looks import WINDOW_FRAMES, windows_of
from vpdata.shards.dataset import Dataset


def sampled(folder: Path, *, num_windows: int, seed: int = 0) -> Footage:
    return sample(Dataset.open(folder), num_windows=num_windows, seed=seed, advance=lambda _: None)


@pytest.mark.parametrize(("start", "stop"), [(0, 8), (3, 20), (5, 6), (0, 25)])
def test_windows_lie_one_after_the_other(start: int, stop: int) -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.random(30, np.float32) for name in ("luma_mean", "motion", "sharpness")}
    found = windows_of(columns, start=start, stop=stop)
    firsts = range(start, stop, WINDOW_FRAMES)
    assert len(found) == len(firsts)
    for i, first in enumerate(firsts):
        last = min(first + WINDOW_FRAMES, stop)
        assert found.luma[i] == pytest.approx(columns["luma_mean"][first:last].mean())
        assert found.sharpness[i] == pytest.approx(columns["sharpness"][first:last].mean())
        moved = columns["motion"][first + 1 : last]
        assert found.motion[i] == pytest.approx(moved.mean() if len(moved) else np.nan, nan_ok=True)


def test_brightness_is_that_of_the_frames(datasets: Mapping[str, Path]) -> None:
    dataset = Dataset.open(datasets["robocasa"])
    footage = sampled(datasets["robocasa"], num_windows=6)
    (darkest,) = (example for example in footage.examples if example.what == "darkest")
    (clip,) = (clip for clip in dataset.clips if clip.key == darkest.key)
    first = darkest.frame - clip.span.start
    frames = dataset.frames(clip, darkest.camera, range(first, min(first + WINDOW_FRAMES, clip.num_frames)))
    luma = np.mean([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).mean() for frame in frames])
    assert darkest.value == pytest.approx(luma, abs=0.5)
    picture = cv2.imdecode(np.frombuffer(darkest.picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.mean() == pytest.approx(cv2.cvtColor(frames[0], cv2.COLOR_RGB2GRAY).mean(), abs=2)


def test_every_camera_is_looked_at_and_the_seed_decides(datasets: Mapping[str, Path]) -> None:
    once, again = (sampled(datasets["robocasa"], num_windows=4) for _ in range(2))
    assert once == again
    assert once != sampled(datasets["robocasa"], num_windows=4, seed=1)
    assert [one.camera for one in once.cameras] == ["wrist", "left", "right"]
    assert all(one.looks.luma.count == 4 for one in once.cameras)
    assert (once.method, once.num_windows, once.seed) == ("sampled", 4, 0)


def test_a_small_data_set_is_looked_at_whole(datasets: Mapping[str, Path]) -> None:
    """Every frame begins a window once; the last one has no motion, as nothing follows it."""
    dataset = Dataset.open(datasets["teleop"])
    footage = sampled(datasets["teleop"], num_windows=10_000)
    starts = int(dataset.index.numbers("num_starts").sum())
    assert footage.num_windows == starts
    for one in footage.cameras:
        assert one.looks.luma.count == starts
        assert one.looks.motion is not None
        assert one.looks.motion.count == starts - 1
