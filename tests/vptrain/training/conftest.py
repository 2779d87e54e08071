"""Real windows as a batch, and a mixture of one source. To be read only."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from micro import MICRO

from vpdata.loader.window import Window
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
from vptrain.batch import Batch, make_batches
from vptrain.normalize import ActionNormalizer


@pytest.fixture(scope="session")
def batch(labelled_windows: list[Window], normalizer: ActionNormalizer) -> Batch:
    """Three labelled windows."""
    (made,) = make_batches(labelled_windows[:3], normalizer=normalizer, image_size=MICRO.image_size)
    return made


@pytest.fixture(scope="session")
def small(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture file of RoboCasa alone, nothing held out."""
    file = tmp_path_factory.mktemp("manifests") / "small.toml"
    make_mixture({"robocasa": Dataset.open(datasets["robocasa"])}, file=file).spec.write(file)
    return file
