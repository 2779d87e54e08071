"""Predictions in; an mp4 (recorded above predicted) and a picture (frames over time) of them out."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vptrain.rollout.evaluate import WindowPrediction

GAP = 4
SCALE_TO = 128
HOLD_FRAMES = 3
BACKGROUND = 24


def write_video(prediction: WindowPrediction, path: Path, *, fps: float) -> None:
    """Writes one window; see `write_videos`."""
    write_videos([prediction], path, fps=fps)


def write_videos(predictions: Sequence[WindowPrediction], path: Path, *, fps: float) -> None:
    """Writes windows below each other as H.264.

    Of each, recorded cameras side by side and predicted ones below; the last frame is held a moment.
    """
    num_frames = len(predictions[0].window.frame_mask)
    order = [*range(num_frames), *[num_frames - 1] * HOLD_FRAMES]
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        options = {"crf": "14", "preset": "veryfast", "x264-params": "mbtree=0"}  # with mbtree bytes differ by run
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=options)
        for i, t in enumerate(order):
            picture = _even(_column([row for prediction in predictions for row in _moment(prediction, t)]))
            if i == 0:
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_strip(prediction: WindowPrediction, path: Path) -> None:
    """Writes one window; see `strips`."""
    Image.fromarray(strips([prediction])).save(path)


def strips(predictions: Sequence[WindowPrediction]) -> NDArray[np.uint8]:
    """Windows below each other, (H, W, 3): of every camera its frames from left to right, below them the predicted."""
    rows = []
    for prediction in predictions:
        made = _made(prediction)
        for camera, recorded in prediction.window.frames.items():
            rows += [_row(list(recorded)), _row(list(made[camera]))]
    return _column(rows)


def _moment(prediction: WindowPrediction, t: int) -> list[NDArray[np.uint8]]:
    """Its frames t: a row of recorded and a row of predicted ones."""
    recorded = prediction.window.frames
    return [_row([views[camera][t] for camera in recorded]) for views in (recorded, _made(prediction))]


def _made(prediction: WindowPrediction) -> Mapping[str, NDArray[np.uint8]]:
    if prediction.frames is None:
        raise ValueError("there is no predicted video")
    return prediction.frames


def _scaled(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = max(1, SCALE_TO // frame.shape[0])
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def _row(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    tiles = [np.pad(_scaled(frame), ((0, 0), (0, GAP), (0, 0)), constant_values=BACKGROUND) for frame in frames]
    return np.concatenate(tiles, axis=1)[:, :-GAP]


def _column(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    width = max(row.shape[1] for row in rows)
    padding = [((0, GAP), (0, width - row.shape[1]), (0, 0)) for row in rows]
    padded = [np.pad(row, around, constant_values=BACKGROUND) for row, around in zip(rows, padding, strict=True)]
    return np.concatenate(padded)[:-GAP]


def _even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=BACKGROUND)
