"""The start-up benchmark measures a data set that is what an ingest would have made."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.data import synthetic
from benchmarks.data.startup import ROWS
from vpdata.shards.dataset import Dataset

NUM_CLIPS = 5050


def test_every_figure_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.data.startup", "--work", str(tmp_path), "--json"]
    command += ["--clips", str(NUM_CLIPS), "--rounds", "1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], check=True)
    (found,) = json.loads(done.stdout).values()
    assert found.keys() == ROWS.keys()
    assert found["start_seconds"] == found["mixture_open_seconds"] + found["first_locate_seconds"] > 0

    dataset = Dataset.open(tmp_path / f"clips-{NUM_CLIPS}")
    assert list(dataset.clips) == list(synthetic.clips(NUM_CLIPS))
    assert sum(shard.num_clips for shard in dataset.manifest.shards) == NUM_CLIPS
    for shard in dataset.manifest.shards:
        layout = dataset.index.layout(shard.name)
        headers = layout.offsets[1:] - (layout.offsets[:-1] + layout.sizes[:-1])
        assert layout.offsets[0] == 512
        assert ((headers >= 512) & (headers < 1024)).all()
        assert (np.diff(layout.clip_ends) > 0).all()
        assert shard.num_clips == len(layout.clip_ends) == len(dataset.index.rows_of(shard.name))
