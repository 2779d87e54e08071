from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest
from streams import SPEC, fingerprint, window_at

from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset


@pytest.fixture(scope="session")
def mixture(datasets: Mapping[str, Path]) -> Mixture:
    """RoboCasa with actions and videos of several sizes, half and half."""
    pool = {name: Dataset.open(datasets[name]) for name in ("robocasa", "video")}
    return make_mixture(pool, file=Path("mix.toml"), action_free=Fraction(1, 2), seed=1)


@pytest.fixture(scope="session")
def expected(mixture: Mixture) -> list[str]:
    """The first 32 windows."""
    windows = [fingerprint(window_at(mixture, t, SPEC)) for t in range(32)]
    assert len(set(windows)) == 32
    return windows
