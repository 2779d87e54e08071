"""Recordings of many files for the fuzz run: plain folders, LeRobot, RoboCasa365, DROID, image sequences.

Enters: `tests/recordings`. Leaves: a `Subject` for each kind of file in each of them. Layouts of which no file is there
are written as the tests of the sources write them.
"""

import io
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import av
from PIL import Image

from benchmarks.data.fuzz_files import cut_demo
from benchmarks.data.fuzz_formats import DEFAULTS, Subject
from benchmarks.data.recorded import RECORDINGS
from tests.sources.droid_episode import NAME, SERIALS, UUID, write_episode
from tests.sources.lerobot_sets import write_robocasa365, write_v21
from vpdata.sources import SourceOptions

KITCHEN = RECORDINGS / "robocasa/v0.1/single_stage/kitchen_drawer"
LEROBOT = RECORDINGS / "lerobot"
SHARED, OWN = "chunk-000/file-000", "chunk-000/episode_000000"
FRONT = "observation.images.front"
TAKEN = f"LAB/success/2023-12-04/{NAME}"
NUM_IMAGES = 12
V21 = {
    "info.json": "meta/info.json",
    "episodes.jsonl": "meta/episodes.jsonl",
    "tasks.jsonl": "meta/tasks.jsonl",
    "data.parquet": f"data/{OWN}.parquet",
    "mp4": f"videos/chunk-000/{FRONT}/episode_000000.mp4",
}
V30 = {
    "info.json": "meta/info.json",
    "episodes.parquet": f"meta/episodes/{SHARED}.parquet",
    "tasks.parquet": "meta/tasks.parquet",
    "data.parquet": f"data/{SHARED}.parquet",
    "mp4": f"videos/{FRONT}/{SHARED}.mp4",
}
ROBOCASA365 = {
    "modality.json": "meta/modality.json",
    "ep_meta.json": "extras/episode_000000/ep_meta.json",
    "dataset_meta.json": "extras/dataset_meta.json",
}
DROID = {
    "trajectory.h5": f"{TAKEN}/trajectory.h5",
    "metadata.json": f"{TAKEN}/metadata_{UUID}.json",
    "annotations.json": "aggregated-annotations-030724.json",
    "mp4": f"{TAKEN}/recordings/MP4/{SERIALS['wrist']}.mp4",
}


def recordings_of_many_files() -> Iterator[Subject]:
    """Each damaged in one file at a time."""
    take = _files_in(RECORDINGS / "folder/close_drawer/demo_1")
    yield from _each("folder", take, {"data.parquet": "data.parquet", "left.mkv": "left.mkv"})
    v21 = _written(lambda out: write_v21(LEROBOT / "v30_av1", out))
    yield from _each("lerobot", v21, V21, name="LeRobot v2.1")
    yield from _each("lerobot", _files_in(LEROBOT / "v30_av1"), V30, name="LeRobot v3.0")
    pictures = {"data.parquet": f"data/{SHARED}.parquet"}
    yield from _each("lerobot", _files_in(LEROBOT / "v30_png"), pictures, name="LeRobot v3.0 with PNG")
    yield from _each("robocasa365", _written(_write_robocasa365), ROBOCASA365)
    yield from _each("droid", _written(lambda out: write_episode(RECORDINGS, out)), DROID, name="DROID")
    for format_name, suffix in (("PNG", "png"), ("JPEG", "jpg")):
        images = dict(_images(RECORDINGS / "video/libero_object_soup_000.mp4", suffix=suffix))
        yield from _each("images", images, {format_name: f"frame_5.{suffix}"}, options=SourceOptions(fps=20))


def _each(
    source: str, files: dict[str, bytes], damaged: dict[str, str], *, name: str = "", options: SourceOptions = DEFAULTS
) -> Iterator[Subject]:
    for called, file in damaged.items():
        yield Subject(name=f"{name or source}, {called}", source=source, files=files, file=file, options=options)


def _files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _written(write: Callable[[Path], object]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return _files_in(Path(folder))


def _write_robocasa365(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo.hdf5"
        demo.write_bytes(cut_demo(next((KITCHEN / "OpenDrawer").glob("*.hdf5"))))
        write_robocasa365(demo, out, demos=["demo_2"])


def _images(video: Path, *, suffix: str) -> Iterator[tuple[str, bytes]]:
    with av.open(str(video)) as container:
        for number, frame in enumerate(islice(container.decode(video=0), NUM_IMAGES)):
            buffer = io.BytesIO()
            Image.fromarray(frame.to_ndarray(format="rgb24")).save(buffer, Image.registered_extensions()[f".{suffix}"])
            yield f"frame_{number}.{suffix}", buffer.getvalue()
