"""What the data set and the model of these tests are called on the Hub, mixtures of that data set, and short runs.

Nothing is held out: to evaluate takes longer than to train.
"""

from dataclasses import replace
from pathlib import Path

import micro

from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset

DATA = "user/kitchen"
MODEL = "user/drawer-policy"
KEY = f"models/{MODEL}"
"""As the loopback Hub calls it."""


STAGE1 = replace(micro.STAGE1, steps=2, batch_size=2, checkpoint_every=1)
STAGE2 = replace(STAGE1, stage="stage2")


def write_mixture(place: str, file: Path) -> Path:
    """The mixture of the data set, wherever it is."""
    make_mixture({"kitchen": Dataset.open(place)}, file=file).spec.write(file)
    return file
