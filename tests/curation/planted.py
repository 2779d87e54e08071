"""Footage in which it is known what is where: real recordings, cut, joined, blacked out, frozen and blurred."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]  # RGB (T, H, W, 3)
HEIGHT, WIDTH, FPS = 192, 256, 20
ENCODERS = ({"crf": "18", "g": "8"}, {"crf": "23", "g": "250"}, {"crf": "28", "g": "25", "preset": "ultrafast"})


def read(path: Path) -> Frames:
    """All frames, as stored, at one size."""
    with av.open(str(path)) as container:
        frames = [
            frame.reformat(width=WIDTH, height=HEIGHT, format="rgb24").to_ndarray()
            for frame in container.decode(container.streams.video[0])
        ]
    return np.stack(frames)


def write(path: Path, frames: Frames, options: dict[str, str]) -> Path:
    """An H.264 video of FPS."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"threads": "1", **options})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def scenes(recordings: Path) -> list[Frames]:
    """One piece of footage of each of the real videos that show something else than another one does."""
    names = ("aloha_*", "libero10_*", "libero_object_soup_000*", "libero_spatial_bowl_00[23]*", "robocasa_*")
    paths = [path for name in names for path in sorted((recordings / "video").glob(name))]
    assert len(paths) == 7
    return [read(path) for path in paths]


@dataclass
class Reel:
    """Pieces one after the other; `cuts` and `spans` (reason, start, stop) say what was planted."""

    frames: list[Frames] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    spans: list[tuple[str, int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(piece) for piece in self.frames)

    def add(self, piece: Frames, *, reason: str | None = None, cut: bool = True) -> None:
        if cut and self.frames:
            self.cuts.append(len(self))
        if reason is not None:
            self.spans.append((reason, len(self), len(self) + len(piece)))
        self.frames.append(piece)

    def write(self, path: Path, options: dict[str, str]) -> Path:
        return write(path, np.concatenate(self.frames), options)


def concatenation(pieces: Sequence[Frames], rng: random.Random, *, num_scenes: int) -> Reel:
    """Scenes of 12 to 60 frames, never twice the same recording in a row."""
    reel, last = Reel(), -1
    for _ in range(num_scenes):
        last = rng.choice([i for i in range(len(pieces)) if i != last])
        length = min(rng.randint(12, 60), len(pieces[last]))
        start = rng.randint(0, len(pieces[last]) - length)
        reel.add(pieces[last][start : start + length])
    return reel


def with_faults(pieces: Sequence[Frames], rng: random.Random) -> Reel:
    """Six scenes of moving robots; between and inside them black, frozen and blurred spans of 1.5 to 3 seconds."""
    reel = Reel()
    for number, piece in enumerate(rng.sample(list(pieces), 6)):
        middle = 20 + rng.randint(0, 8)
        length = rng.randint(30, 60)
        reel.add(piece[:middle])
        if number % 3 == 0:
            reel.add(np.full((length, HEIGHT, WIDTH, 3), rng.choice([0, 8, 16]), np.uint8), reason="black")
            reel.add(piece[middle : middle + 25])
        if number % 3 == 1:
            reel.add(piece[[middle - 1] * length], reason="frozen", cut=False)
            reel.add(piece[middle : middle + 25], cut=False)
        if number % 3 == 2:
            blurred = [cv2.GaussianBlur(frame, (0, 0), 8) for frame in piece[middle : middle + 20]]
            reel.add(np.stack(blurred), reason="blurry", cut=False)
            reel.add(piece[middle + 20 : middle + 45], cut=False)
    return reel
