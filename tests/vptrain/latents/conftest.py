"""A small mixture of one labelled demo with three cameras and one video with one, and latents of it."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import h5py
import pytest
from making import QUIET, make

from vpdata.ingest import IngestOptions, ingest
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions

DEMO = "robocasa/v0.1/single_stage/kitchen_drawer/OpenDrawer/demo_gentex_im128_randcams.hdf5"
VIDEO = "video/libero_object_soup_000.mp4"
NUM_FRAMES = 30
OPTIONS = IngestOptions(clip_starts=12, window_span=12, shard_frames=60)


@pytest.fixture(scope="session")
def small_mixture(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of several shards; windows reach over at most 12 frames."""
    folder = tmp_path_factory.mktemp("small")
    beginning(recordings / DEMO, folder / DEMO)
    ingest("robocasa", [folder / DEMO], folder / "drawer", OPTIONS, workers=1)
    fewer = replace(OPTIONS, source=SourceOptions(fps=5), shard_frames=20)
    ingest("video", [recordings / VIDEO], folder / "soup", fewer, workers=1)
    pool = {name: Dataset.open(folder / name) for name in ("drawer", "soup")}
    file = folder / "mix.toml"
    make_mixture(pool, file=file, action_free=Fraction(1, 2)).spec.write(file)
    return file


def beginning(recording: Path, copy: Path) -> None:
    """The first frames of every demo of a recording, with the attributes that it has."""
    copy.parent.mkdir(parents=True)
    with h5py.File(recording) as whole, h5py.File(copy, "w") as cut:

        def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                made = cut.require_group(name)
            else:
                made = cut.create_dataset(name, data=item[:NUM_FRAMES] if item.shape else item[()])
            made.attrs.update(item.attrs)

        cut.attrs.update(whole.attrs)
        whole.visititems(add)
        for demo in cut["data"].values():
            demo.attrs["num_samples"] = NUM_FRAMES


@pytest.fixture(scope="session")
def quiet_latents(small_mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One variant in float32. To be read only."""
    return make(small_mixture, tmp_path_factory.mktemp("quiet") / "latents", QUIET)


@pytest.fixture(scope="session")
def jittered_latents(small_mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants with colour jitter, in float16. To be read only."""
    folder = tmp_path_factory.mktemp("jittered") / "latents"
    return make(small_mixture, folder, color_jitter=True, num_variants=2, dtype="fp16")


@pytest.fixture(scope="session")
def half_latents(small_mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `quiet_latents`, in bfloat16. To be read only."""
    return make(small_mixture, tmp_path_factory.mktemp("half") / "latents", QUIET, dtype="bf16")
