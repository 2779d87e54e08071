"""The cameras of LeRobot data sets: mp4 files that episodes may share, and pictures in Parquet files.

Enters: a `Layout`, an episode of it and the cameras that are wanted. Leaves: `Camera`s, how far a video's times are
from those that the data set says, and readers that decode the frames of that episode alone.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SourceError
from vpdata.schema import Camera
from vpdata.sources.cameras import default_cameras, wrist_first
from vpdata.sources.decoder import Decoder, VideoReader
from vpdata.sources.lerobot_meta import INFO, Entry, Layout, Stretch
from vpdata.sources.lerobot_rows import ImageReader, Rows, decode_image, read_images
from vpdata.sources.timeline import Timeline, read_timestamps

PREFIXES = ("observation.images.", "observation.")  # of a camera's key, which its name leaves out
KEPT_VIDEOS = 16  # whose timestamps are remembered for the next episode in the same file


@dataclass(frozen=True, slots=True, kw_only=True)
class _Video:
    """When the frames of an mp4 are shown: in ticks, and the seconds of one tick."""

    timestamps: tuple[int, ...]
    tick_seconds: Fraction

    def timeline(self, shown: range, *, fps: float) -> Timeline:
        return Timeline(
            timestamps=self.timestamps, tick_seconds=self.tick_seconds, fps=Fraction(fps), shown=tuple(shown)
        )


def camera_keys(layout: Layout, wanted: Mapping[str, str]) -> dict[str, str]:
    """Canonical name -> feature key, wrist first; all colour cameras where none is named.

    Raises:
        SourceError: listing the cameras that are there, where one is not, or all cannot be named.
    """
    path, listed = layout.root / INFO, ", ".join(layout.cameras) or "none"
    if not wanted:
        if not layout.cameras:
            raise SourceError("there are no cameras of colour pictures.", path=path, hint="Check info.json.")
        wanted = default_cameras({key: _called(key) for key in layout.cameras}, path=path)
    keys: dict[str, str] = {}
    for name, recorded in wrist_first(wanted):
        spelled = (recorded, *(prefix + recorded for prefix in PREFIXES))
        key = next((key for key in spelled if key in layout.cameras), None)
        if key is None:
            what = f"camera {name!r} is to come from {recorded!r}, which is not here; cameras here: {listed}."
            raise SourceError(what, path=path, hint="Choose with --camera NAME=KEY.")
        if key in keys.values():
            what = f"camera {name!r} is to come from {key!r}, which another one comes from already."
            raise SourceError(what, path=path, hint="Give each recorded camera one name with --camera.")
        keys[name] = key
    return keys


def _called(key: str) -> str:
    return key.removeprefix(next((prefix for prefix in PREFIXES if key.startswith(prefix)), ""))


def describe_camera(name: str, key: str, layout: Layout, entry: Entry, rows: Rows) -> Camera:
    """The camera with the size of its first frame.

    Raises:
        SourceError: the file does not decode, or the frames of an mp4 are not as many as its episodes have together.
    """
    stretch = entry.videos.get(key)
    if stretch is None:
        where = f"{entry.name}, {key}"
        picture = next(read_images(rows.path, key, rows.start, rows.start + 1), None)
        height, width, _ = decode_image(picture, path=rows.path, episode=where).shape
        return Camera(name=name, recorded_name=key, height=height, width=width)
    path = layout.root / stretch.file
    video = _video(path)
    if len(video.timestamps) != stretch.num_frames:
        raise SourceError(
            f"the video has {len(video.timestamps)} frames, and the episodes in it have {stretch.num_frames}, so it is "
            "not known which frames are whose.",
            path=path,
            episode=entry.name,
            hint="Copy or download it again, or leave this camera out.",
        )
    frames = range(stretch.start, stretch.start + entry.num_frames)
    with Decoder(path, video.timeline(frames, fps=layout.fps), begin=stretch.start) as decoder:
        height, width, _ = decoder.rgb(stretch.start).shape
    return Camera(name=name, recorded_name=key, height=height, width=width)


def time_error(stretch: Stretch, layout: Layout, seconds: NDArray[np.floating]) -> float:
    """By how many seconds the video is at most off from where its data set says that the frames are.

    Args:
        seconds: (frames,) of the episode, from its start.
    """
    video = _video(layout.root / stretch.file)
    ticks = np.array(video.timestamps[stretch.start : stretch.start + len(seconds)]) - video.timestamps[0]
    return float(np.abs(ticks * float(video.tick_seconds) - (stretch.start_seconds + seconds)).max())


def open_camera(
    camera: Camera, layout: Layout, entry: Entry, rows: Rows, stack: ExitStack
) -> VideoReader | ImageReader:
    """A reader of the episode's frames, closed with the stack."""
    stretch = entry.videos.get(camera.recorded_name)
    if stretch is None:
        return ImageReader(
            path=rows.path,
            episode=entry.name,
            key=camera.recorded_name,
            start=rows.start,
            num_frames=entry.num_frames,
            camera=camera,
        )
    path = layout.root / stretch.file
    timeline = _video(path).timeline(range(stretch.start, stretch.start + entry.num_frames), fps=layout.fps)
    return VideoReader(stack.enter_context(Decoder(path, timeline, begin=stretch.start)), timeline, camera)


def _video(path: Path) -> _Video:
    stat = path.stat()
    return _read_video(path, (stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=KEPT_VIDEOS)
def _read_video(path: Path, _stamp: object) -> _Video:
    timestamps, tick = read_timestamps(path)
    return _Video(timestamps=timestamps, tick_seconds=tick)
