"""Writes plain folders with any times wanted, from real frames that can be told apart when they are read back."""

import csv
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import h5py
import numpy as np
from numpy.typing import NDArray
from reading import numbers_of

from vpdata import sources
from vpdata.sources import SourceOptions

CAMERAS = {"wrist": "robot0_eye_in_hand_image", "front": "robot0_agentview_left_image"}
NUM_FRAMES = 60
REGULAR = [round(0.05 * i, 6) for i in range(NUM_FRAMES)]

Images = NDArray[np.uint8]


def originals(recordings: Path) -> dict[str, Images]:
    """The first frames of a recording by camera, (NUM_FRAMES, 32, 32, 3) crops, no two alike."""
    name = "robocasa/v0.1/single_stage/kitchen_drawer/CloseDrawer/demo_gentex_im128_randcams.hdf5"
    with h5py.File(recordings / name) as file:
        obs = file["data/demo_0/obs"]
        frames = {camera: obs[recorded][:NUM_FRAMES, 40:104, 40:104] for camera, recorded in CAMERAS.items()}
    assert all(len(np.unique(shown, axis=0)) == NUM_FRAMES for shown in frames.values())
    return frames


def write_video(path: Path, frames: Sequence[Images], seconds: Sequence[float]) -> None:
    """Writes RGB frames without loss, each at its time to the millisecond."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264rgb", options={"crf": "0", "preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb24"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pixels, second in zip(frames, seconds, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(second * 1000), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def write_csv(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Writes columns with a header."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_table(path: Path, seconds: Sequence[float]) -> None:
    """Writes rows whose state says their time and whose action says their number."""
    numbers = list(range(len(seconds)))
    write_csv(
        path,
        {"time_seconds": seconds, "state_clock": seconds, "action_number": numbers, "action_zero": [0] * len(numbers)},
    )


def read_parts(
    folder: Path, frames: Mapping[str, Images], options: SourceOptions
) -> list[tuple[dict[str, list[int]], list[float], list[int]]]:
    """For every episode of a folder: per camera which original each frame is, row times, and row numbers of actions."""
    plugin = sources.load("folder")
    (file,) = plugin.find(folder)
    parts = []
    for episode in plugin.episodes(file, options):
        with plugin.open(file, episode, options) as reader:  # type: ignore[arg-type]
            shown = {
                camera: numbers_of(reader.frames(camera, 0, episode.num_frames), frames[camera])  # type: ignore[union-attr]
                for camera in frames
            }
            state = [] if reader.state is None else reader.state[:, 0].tolist()
            actions = [] if reader.actions is None else reader.actions[:, 0].astype(int).tolist()
        parts.append((shown, state, actions))
    return parts
