"""Two real processes under torchrun load the global batches that one process loads."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from streams import SPEC, fingerprint, window_at

from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset

PROGRAM = """
import json, sys
from pathlib import Path
import torch.distributed as dist
from vpdata.loader.loader import load
from vpdata.loader.positions import rank_and_world_size
from vpdata.mixture.mixture import Mixture

folder, mixture_file, out = sys.argv[1:]
sys.path.insert(0, folder)
from streams import SPEC, fingerprint

dist.init_process_group("gloo")
rank, world_size = rank_and_world_size()
assert (rank, world_size) == (dist.get_rank(), dist.get_world_size())
mixture = Mixture.open(Path(mixture_file))
got = []
with load(mixture, SPEC, batch_size=5, start=0, stop=12, num_workers=1, rank=rank, world_size=world_size) as loader:
    for batch in loader:
        parts = [None] * world_size
        dist.all_gather_object(parts, [fingerprint(window) for window in batch.windows])
        got.append([len(parts), *[window for part in parts for window in part]])
if rank == 0:
    Path(out).write_text(json.dumps(got))
dist.destroy_process_group()
"""


def test_two_ranks_load_what_one_does(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "mix.toml"
    mixture = make_mixture({"robocasa": Dataset.open(datasets["robocasa"])}, file=file)
    mixture.spec.write(file)
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = [tmp_path / "program.py", Path(__file__).parent, file, tmp_path / "got.json"]
    root = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, arguments)],
        check=True,
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )
    expected = [fingerprint(window_at(mixture, t, SPEC)) for t in range(12)]
    got = json.loads((tmp_path / "got.json").read_text())
    assert got == [[2, *expected[:5]], [2, *expected[5:10]], [2, *expected[10:]]]
