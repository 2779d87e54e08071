"""A prediction in; an mp4 (recorded above predicted) and a PNG strip (frames over time) out."""

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
    """Writes the window as H.264: recorded cameras side by side, predicted ones below, the last frame held a moment."""
    recorded, predicted = prediction.window.frames, prediction.frames
    if predicted is None:
        raise ValueError("there is no predicted video")
    num_frames = len(prediction.window.frame_mask)
    order = [*range(num_frames), *[num_frames - 1] * HOLD_FRAMES]
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        options = {"crf": "14", "preset": "veryfast", "x264-params": "mbtree=0"}  # with mbtree bytes differ by run
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=options)
        for i, t in enumerate(order):
            rows = [_row([views[camera][t] for camera in recorded]) for views in (recorded, predicted)]
            picture = _even(_column(rows))
            if i == 0:
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_strip(prediction: WindowPrediction, path: Path) -> None:
    """Writes frames over time from left to right; for every camera a recorded row and below it the predicted one."""
    if prediction.frames is None:
        raise ValueError("there is no predicted video")
    rows = []
    for camera, recorded in prediction.window.frames.items():
        rows.append(_row(list(recorded)))
        rows.append(_row(list(prediction.frames[camera])))
    Image.fromarray(_column(rows)).save(path)


def _scaled(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = max(1, SCALE_TO // frame.shape[0])
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def _row(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    tiles = [np.pad(_scaled(frame), ((0, 0), (0, GAP), (0, 0)), constant_values=BACKGROUND) for frame in frames]
    return np.concatenate(tiles, axis=1)[:, :-GAP]


def _column(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.concatenate([np.pad(row, ((0, GAP), (0, 0), (0, 0)), constant_values=BACKGROUND) for row in rows])[:-GAP]


def _even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=BACKGROUND)
