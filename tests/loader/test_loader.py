import hashlib
import itertools
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from vpdata.errors import ShardError, VpdataError
from vpdata.loader.loader import WindowDataset, batches
from vpdata.loader.window import Window, WindowSpec
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset

SPEC = WindowSpec(num_frames=3, stride=2, horizon=4, height=32, width=32, cameras=("wrist", "left"))


@pytest.fixture(scope="module")
def mixture(datasets: Mapping[str, Path]) -> Mixture:
    pool = {name: Dataset.open(datasets[name]) for name in ("robocasa", "video")}
    return make_mixture(pool, file=Path("mix.toml"), action_free=Fraction(1, 2), seed=1)


def fingerprint(window: Window) -> str:
    digest = hashlib.sha256()
    for name in (field.name for field in fields(window)):
        value = getattr(window, name)
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for key, part in parts:
            data = part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
            digest.update(f"{name} {key} ".encode() + data)
    return digest.hexdigest()


def stream(mixture: Mixture, *, start: int = 0, stop: int = 24, num_workers: int = 0, batch_size: int = 4) -> list[str]:
    return [
        fingerprint(window)
        for batch in batches(mixture, SPEC, batch_size=batch_size, start=start, stop=stop, num_workers=num_workers)
        for window in batch
    ]


@pytest.fixture(scope="module")
def expected(mixture: Mixture) -> list[str]:
    return [fingerprint(WindowDataset(mixture, SPEC)[t]) for t in range(24)]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_workers_change_nothing(mixture: Mixture, expected: list[str], num_workers: int) -> None:
    assert len(set(expected)) == 24
    assert stream(mixture, num_workers=num_workers) == expected


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_plain_torch_loader_gives_the_same(mixture: Mixture, expected: list[str], context: str) -> None:
    loader = DataLoader(
        WindowDataset(mixture, SPEC, num_samples=24),
        batch_size=None,
        num_workers=1,
        multiprocessing_context=context,
        collate_fn=None,
    )
    assert [fingerprint(window) for window in loader] == expected


@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_batches_are_consecutive_positions(mixture: Mixture, expected: list[str], batch_size: int) -> None:
    got = list(batches(mixture, SPEC, batch_size=batch_size, start=0, stop=24, num_workers=0))
    assert [window.position for batch in got for window in batch] == list(range(24))
    assert [len(batch) for batch in got[:-1]] == [batch_size] * (len(got) - 1)
    assert [fingerprint(window) for batch in got for window in batch] == expected


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resume_is_one_integer(mixture: Mixture, expected: list[str], num_workers: int) -> None:
    for start in (1, 8, 23):
        assert stream(mixture, start=start, num_workers=num_workers) == expected[start:]


def test_ranks_share_a_global_batch(mixture: Mixture, expected: list[str]) -> None:
    for world in (1, 2, 4):
        per_rank = 8 // world
        dataset = WindowDataset(mixture, SPEC)
        got = [
            fingerprint(dataset[step * 8 + rank * per_rank + i])
            for step in range(3)
            for rank in range(world)
            for i in range(per_rank)
        ]
        assert got == expected


def test_the_stream_has_no_end(mixture: Mixture) -> None:
    endless = batches(mixture, SPEC, batch_size=2, start=10**15, stop=None, num_workers=0)
    positions = [window.position for batch in itertools.islice(endless, 3) for window in batch]
    assert positions == list(range(10**15, 10**15 + 6))
    with pytest.raises(TypeError, match="num_samples"):
        len(WindowDataset(mixture, SPEC))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_damage_arrives_as_itself(datasets: Mapping[str, Path], tmp_path: Path, num_workers: int) -> None:
    folder = tmp_path / "robocasa"
    shutil.copytree(datasets["robocasa"], folder)
    dataset = Dataset.open(folder)
    clip = dataset.clips[0]
    member = next(member for member in clip.members if member.name.startswith("wrist."))
    shard = folder / clip.shard
    shard.chmod(0o644)
    data = bytearray(shard.read_bytes())
    data[member.offset + member.size // 2] ^= 1
    shard.write_bytes(data)
    mixture = make_mixture({"robocasa": dataset}, file=tmp_path / "mix.toml")
    with pytest.raises(ShardError) as caught:
        list(batches(mixture, SPEC, batch_size=4, start=0, stop=2000, num_workers=num_workers))
    assert caught.value.episode == clip.key
    assert caught.value.path == str(shard)
    assert "Traceback" not in str(caught.value)


def test_a_dead_worker_is_an_error_with_the_place_to_resume(mixture: Mixture) -> None:
    running = batches(mixture, SPEC, batch_size=2, start=100, stop=None, num_workers=1)
    next(running)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)  # so that the loop below is waiting for it when it dies
    killer = threading.Timer(1.0, os.kill, (worker.pid, signal.SIGKILL))
    killer.start()
    last = 101

    def drain() -> None:
        nonlocal last
        for batch in running:
            last = batch[-1].position or 0

    with pytest.raises(VpdataError, match="worker died") as caught:
        drain()
    killer.join()
    assert caught.value.hint is not None
    assert f"position {last + 1}." in caught.value.hint
