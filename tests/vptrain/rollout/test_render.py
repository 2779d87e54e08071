from pathlib import Path

import av
import numpy as np
import pytest
from micro import MICRO
from numpy.typing import NDArray
from PIL import Image

from vpdata.loader.window import Window
from vptrain.rollout.evaluate import WindowPrediction
from vptrain.rollout.render import GAP, HOLD_FRAMES, write_strip, write_video

TILE = 128


@pytest.fixture
def prediction(labelled_windows: list[Window]) -> WindowPrediction:
    """A recorded window beside a prediction that is its negative."""
    window = labelled_windows[0]
    window = window.with_frames({camera: view[:, ::2, ::2] for camera, view in window.frames.items()})
    frames: dict[str, NDArray[np.uint8]] = {camera: 255 - view for camera, view in window.frames.items()}
    return WindowPrediction(window=window, frames=frames, actions=None, recorded_actions=None)


def tile(picture: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    top, left = row * (TILE + GAP), column * (TILE + GAP)
    return picture[top : top + TILE, left : left + TILE]


def doubled(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def test_the_strip_shows_every_camera_recorded_above_predicted(prediction: WindowPrediction, tmp_path: Path) -> None:
    write_strip(prediction, tmp_path / "strip.png")
    picture = np.asarray(Image.open(tmp_path / "strip.png"))
    assert picture.shape == (6 * (TILE + GAP) - GAP, 3 * (TILE + GAP) - GAP, 3)
    assert prediction.frames is not None
    for i, camera in enumerate(MICRO.cameras):
        for t in range(MICRO.num_frames):
            assert np.array_equal(tile(picture, 2 * i, t), doubled(prediction.window.frames[camera][t]))
            assert np.array_equal(tile(picture, 2 * i + 1, t), doubled(prediction.frames[camera][t]))


def test_the_video_shows_all_cameras_recorded_above_predicted(prediction: WindowPrediction, tmp_path: Path) -> None:
    write_video(prediction, tmp_path / "video.mp4", fps=5)
    with av.open(str(tmp_path / "video.mp4")) as container:
        rate = container.streams.video[0].average_rate
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert rate == 5
    assert len(pictures) == MICRO.num_frames + HOLD_FRAMES
    assert pictures[0].shape == (2 * (TILE + GAP) - GAP, 3 * (TILE + GAP) - GAP, 3)
    assert prediction.frames is not None
    for t in range(MICRO.num_frames):
        for i, camera in enumerate(MICRO.cameras):
            for row, views in enumerate((prediction.window.frames, prediction.frames)):
                shown, meant = tile(pictures[t], row, i).astype(float), doubled(views[camera][t]).astype(float)
                assert np.abs(shown - meant).mean() < 8
    np.testing.assert_allclose(pictures[-1].astype(float), pictures[-4].astype(float), atol=12)


def test_without_predicted_video_there_is_nothing_to_draw(prediction: WindowPrediction, tmp_path: Path) -> None:
    bare = WindowPrediction(window=prediction.window, frames=None, actions=None, recorded_actions=None)
    for write in (lambda: write_strip(bare, tmp_path / "x.png"), lambda: write_video(bare, tmp_path / "x.mp4", fps=5)):
        with pytest.raises(ValueError, match="no predicted video"):
            write()
