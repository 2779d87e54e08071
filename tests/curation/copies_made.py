"""Copies made from real recordings: encoded again with H.264, scaled, cropped, mirrored."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vpdata import sources
from vpdata.sources import SourceOptions


def grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (rgb @ np.array([77, 150, 29], np.uint16) >> 8).astype(np.uint8)


def recorded(path: Path, camera: str, *, source: str = "libero", num_episodes: int = 99) -> list[NDArray[np.uint8]]:
    """RGB frames (T, H, W, 3) of the first episodes of a recording."""
    plugin, options = sources.load(source), SourceOptions()
    episodes = []
    for file in plugin.find(path):
        for episode in list(plugin.episodes(file, options))[:num_episodes]:
            assert not isinstance(episode, Exception)
            with plugin.open(file, episode, options) as reader:
                episodes.append(np.stack(list(reader.frames(camera, 0, episode.num_frames))))
    return episodes


def cropped(rgb: NDArray[np.uint8], share: float, *, at: float = 0.5) -> NDArray[np.uint8]:
    """Without `share` of the height and width, `at` of that taken from the top and the left."""
    _, height, width, _ = rgb.shape
    top, left = round(height * share * at), round(width * share * at)
    return rgb[:, top : top + round(height * (1 - share)), left : left + round(width * (1 - share))]


def write_video(path: Path, rgb: NDArray[np.uint8], *, size: tuple[int, int], crf: int = 28, fps: int = 20) -> Path:
    """An H.264 file of these frames, scaled to (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for frame in rgb:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture.reformat(width=size[1], height=size[0], format="yuv420p")))
        container.mux(stream.encode())
    return path


def read_video(path: Path) -> NDArray[np.uint8]:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
