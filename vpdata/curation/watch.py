"""Frames in, one after the other, what can be said of each out: light, sharpness, and change to the frame before.

Everything is measured on the brightness of a small copy. The content score is that of PySceneDetect's `ContentDetector`
with `luma_only`, on grey frames: their mean absolute change. Hue and saturation are left out: in compressed footage
they jump at key frames.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vpdata.curation.measurements import Measurements, Thumbnail
from vpdata.curation.phash import phash

LONGEST_SIDE: Final = 128
"""Pixels of the copy that is looked at, at most."""

BLACK_LUMA: Final = 32
"""A pixel that is not brighter is black."""

MOTION_SCALE: Final = 4
"""Motion is looked for between means of 4 × 4 pixels, so that noise counts little."""

MOTION_CELLS: Final = 8
"""The frame is divided in 8 × 8 cells; the peak of the motion is that of the cell that moves most."""

HASHES_A_THUMBNAIL: Final = 4
"""Every so many frames that are hashed, one gets a thumbnail."""

THUMBNAIL_JUMP: Final = 10.0
"""Content score from which a frame gets a thumbnail, too."""

THUMBNAIL_QUALITY: Final = 75

Image = NDArray[np.uint8]


class Watch:
    """Sees the frames one after the other."""

    def __init__(self, *, hashed: frozenset[int]) -> None:
        self.columns: dict[str, list[float]] = {name: [] for name in Measurements.COLUMNS}
        self.hashes: dict[int, int] = {}
        self.thumbnails: list[Thumbnail] = []
        self._hashed = hashed
        self._last: Image | None = None
        self._last_coarse: Image | None = None

    def see(self, picture: Image) -> None:
        """Adds a row for the next frame, RGB (H, W, 3), as `shrink` makes it."""
        self.see_grey(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), lambda: picture)

    def see_grey(self, grey: Image, picture: Callable[[], Image]) -> None:
        """Adds a row for the next frame, (H, W) as `shrink` makes it; `picture` gives it in RGB for a thumbnail."""
        frame = len(self.columns["luma_mean"])
        luma_min, luma_max, _, _ = cv2.minMaxLoc(grey)
        before, self._last = self._last, grey
        content = 0.0 if before is None else float(cv2.mean(cv2.absdiff(grey, before))[0])
        motion, peak_motion = self._motion(grey)
        row = {
            "luma_mean": cv2.mean(grey)[0],
            "luma_min": luma_min,
            "luma_max": luma_max,
            "black_share": np.count_nonzero(grey <= BLACK_LUMA) / grey.size,
            "sharpness": _sharpness(grey),
            "motion": motion,
            "peak_motion": peak_motion,
            "content": content,
        }
        for name, measured in row.items():
            self.columns[name].append(measured)
        wants_thumbnail = content >= THUMBNAIL_JUMP
        if frame in self._hashed:
            wants_thumbnail |= len(self.hashes) % HASHES_A_THUMBNAIL == 0
            self.hashes[frame] = phash(grey)
        if wants_thumbnail:
            jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture()), quality=THUMBNAIL_QUALITY)
            self.thumbnails.append(Thumbnail(frame=frame, jpeg=jpeg))

    def _motion(self, grey: Image) -> tuple[float, float]:
        """Mean absolute change of the coarse luma, and that of the cell that moves most; 0 for the first frame."""
        height, width = (max(1, side // MOTION_SCALE) for side in grey.shape)
        coarse = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        before, self._last_coarse = self._last_coarse, coarse
        if before is None:
            return 0.0, 0.0
        change = cv2.absdiff(coarse, before).astype(np.float32)
        cells = cv2.resize(change, (min(MOTION_CELLS, width), min(MOTION_CELLS, height)), interpolation=cv2.INTER_AREA)
        return cv2.mean(change)[0], float(cells.max())


def shrink(image: Image) -> Image:
    """The image, (H, W) or (H, W, 3), halved until it has at most LONGEST_SIDE pixels a side: each is the mean of four.

    A last odd row or column is not looked at.
    """
    height, width = image.shape[:2]
    while max(height, width) > LONGEST_SIDE:
        rows, columns = max(1, height // 2), max(1, width // 2)
        image = cv2.resize(image[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
        height, width = rows, columns
    return image


def _sharpness(grey: Image) -> float:
    """Variance of the Laplacian."""
    edges = cv2.Laplacian(grey, cv2.CV_16S)
    return float(cv2.norm(edges, cv2.NORM_L2SQR) / edges.size - cv2.mean(edges)[0] ** 2)
