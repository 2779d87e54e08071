"""What was measured of one video, in memory and as a parquet file: one row a frame.

Nothing here depends on thresholds: decisions are taken from measurements as often as one likes, without decoding.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Final, Self

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vpdata.errors import VpdataError
from vpdata.shards.files import write_whole

MEASURING: Final = 1
"""Counts up when a frame is measured otherwise; measurements of another number are made again."""

VERSIONS: Final = {
    "measuring": str(MEASURING),
    "av": av.__version__,
    "ffmpeg": ".".join(map(str, av.library_versions["libavcodec"])),
    "numpy": np.__version__,
    "opencv": version("opencv-python-headless"),
}
"""What measurements depend on."""

_ABOUT: Final = b"vpdata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A small picture of a frame, as JPEG."""

    frame: int
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurements:
    """Of one video of N frames, in the order shown.

    Attributes:
        height, width: pixels, upright.
        fps: frames a second, as the video source reads it.
        seconds: (N,) float64, when each frame is shown, the first at 0.
        columns: the COLUMNS, (N,) float32 each.
        hashes: frame -> perceptual hash, of the frame nearest to each multiple of PERIOD_SECONDS.
        thumbnails: of every fourth of those frames, and of those that differ much from the one before.
    """

    COLUMNS: ClassVar[Mapping[str, str]] = {
        "luma_mean": "mean luma, 0 to 255",
        "luma_min": "darkest pixel",
        "luma_max": "brightest pixel",
        "black_share": "share of pixels with luma 32 or less",
        "sharpness": "variance of the Laplacian of the luma",
        "motion": "mean absolute change of the luma, in means of 4 × 4 pixels, to the frame before",
        "peak_motion": "the same of the one of 8 × 8 cells that changes most",
        "content": "PySceneDetect's content score of grey frames: mean absolute change of the luma to the frame before",
    }

    height: int
    width: int
    fps: float
    seconds: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.float32]]
    hashes: Mapping[int, int]
    thumbnails: tuple[Thumbnail, ...]

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def boundaries(self) -> NDArray[np.float64]:
        """(N + 1,) seconds: frame i is shown from boundaries[i] to boundaries[i + 1]."""
        return np.append(self.seconds, self.seconds[-1] + 1 / self.fps)

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all; equal measurements give equal bytes."""
        jpegs = {thumbnail.frame: thumbnail.jpeg for thumbnail in self.thumbnails}
        frames = range(len(self))
        table = pa.table(
            {
                "seconds": self.seconds,
                **self.columns,
                "hash": pa.array([self.hashes.get(i) for i in frames], pa.uint64()),
                "thumbnail": pa.array([jpegs.get(i) for i in frames], pa.binary()),
            }
        )
        about = {"height": self.height, "width": self.width, "fps": self.fps, "versions": VERSIONS}
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()}), sink, compression="zstd")
        write_whole(path, sink.getvalue().to_pybytes())

    @classmethod
    def read(cls, path: Path) -> Self:
        """The inverse of `write`. Raises VpdataError where the file is damaged."""
        try:
            table = pq.read_table(path)
            about = json.loads(table.schema.metadata[_ABOUT])
            hashes, jpegs = table["hash"].to_pylist(), table["thumbnail"].to_pylist()
            return cls(
                height=about["height"],
                width=about["width"],
                fps=about["fps"],
                seconds=table["seconds"].to_numpy(),
                columns={name: table[name].to_numpy() for name in cls.COLUMNS},
                hashes={i: value for i, value in enumerate(hashes) if value is not None},
                thumbnails=tuple(Thumbnail(frame=i, jpeg=jpeg) for i, jpeg in enumerate(jpegs) if jpeg is not None),
            )
        except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path) from error


def is_measured(path: Path) -> bool:
    """Whether measurements are there, made with these versions. Raises VpdataError where the file is damaged."""
    if not path.is_file():
        return False
    try:
        return bool(json.loads(pq.read_schema(path).metadata[_ABOUT])["versions"] == VERSIONS)
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> VpdataError:
    return VpdataError("these measurements are damaged.", path=path, hint="Delete the file and curate again.")
