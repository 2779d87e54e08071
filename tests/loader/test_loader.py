import gc
import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from streams import SPEC, STORED, copy_of, damage, fingerprint, fingerprints, window_at
from torch.utils.data import DataLoader

from vpdata.errors import EndOfStream, ShardError
from vpdata.ingest import IngestOptions, ingest
from vpdata.loader.dataset import WindowDataset
from vpdata.loader.loader import batches, load
from vpdata.loader.positions import PositionSampler
from vpdata.loader.process import Method
from vpdata.loader.window import WindowSpec
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset


@pytest.mark.parametrize(("num_workers", "method"), [(0, "spawn"), (1, "spawn"), (2, "spawn"), (3, "fork")])
def test_workers_change_nothing(mixture: Mixture, expected: list[str], num_workers: int, method: Method) -> None:
    with load(mixture, SPEC, batch_size=4, start=0, stop=32, num_workers=num_workers, method=method) as loader:
        assert fingerprints(loader) == expected


@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_batches_are_consecutive_positions(mixture: Mixture, expected: list[str], batch_size: int) -> None:
    got = list(batches(mixture, SPEC, batch_size=batch_size, start=0, stop=24, num_workers=0))
    assert [window.position for batch in got for window in batch] == list(range(24))
    assert [len(batch) for batch in got[:-1]] == [batch_size] * (len(got) - 1)
    assert [fingerprint(window) for batch in got for window in batch] == expected[:24]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_frames_of_a_layout_and_size_lie_together(mixture: Mixture, num_workers: int) -> None:
    sizes = set()
    with load(mixture, STORED, batch_size=12, start=0, stop=24, num_workers=num_workers) as loader:
        for batch in loader:
            assert sorted(place for group in batch.groups for place in group.places) == list(range(12))
            assert [group.places[0] for group in batch.groups] == sorted(group.places[0] for group in batch.groups)
            for group in batch.groups:
                assert tuple(group.frames) == group.layout
                for v, (camera, frames) in enumerate(group.frames.items()):
                    assert frames.flags.c_contiguous
                    assert group.stacked is not None  # all cameras of a clip here have one size
                    assert np.shares_memory(group.stacked[v], frames)
                    for member, place in enumerate(group.places):
                        assert np.shares_memory(batch.windows[place].frames[camera], frames[member])
                    sizes.add(frames.shape[2:4])
            for window in batch.windows:
                assert window.position is not None
                assert fingerprint(window) == fingerprint(window_at(mixture, window.position, STORED))
    assert len(sizes) > 2


def test_cameras_of_different_sizes_are_not_stacked(recordings: Path, tmp_path: Path) -> None:
    """Two cameras whose recorded sizes differ."""
    source = next((recordings / "robocasa").rglob("*.hdf5"))
    copy = tmp_path / "recording.hdf5"
    copy.write_bytes(source.read_bytes())
    with h5py.File(copy, "r+") as file:
        for demo in list(file["data"])[1:]:
            del file["data"][demo]
        (demo,) = file["data"]
        frames = file["data"][demo]["obs"]
        name = next(name for name in frames if "left" in name and "image" in name)
        smaller = frames[name][:, ::2]
        del frames[name]
        frames[name] = smaller
    ingest("robocasa", [copy], tmp_path / "data", IngestOptions(window_span=32), workers=1)
    uneven = make_mixture({"uneven": Dataset.open(tmp_path / "data")}, file=tmp_path / "mix.toml")
    with load(uneven, STORED, batch_size=3, start=0, stop=3, num_workers=1) as loader:
        (batch,) = loader
        (group,) = batch.groups
        assert group.stacked is None
        assert {camera: frames.shape[:4] for camera, frames in group.frames.items()} == {
            "wrist": (3, 3, 128, 128),
            "left": (3, 3, 64, 128),
        }
        assert fingerprints([batch]) == [fingerprint(window_at(uneven, t, STORED)) for t in range(3)]


def test_frames_stay_until_as_many_batches_were_asked_for_as_promised(mixture: Mixture) -> None:
    with load(mixture, SPEC, batch_size=4, start=0, stop=32, num_workers=2, hold=3) as loader:
        held: list[tuple[list[str], object]] = []
        for batch in loader:
            held.append((fingerprints([batch]), batch))
            for before, kept in held[-3:]:
                assert fingerprints([kept]) == before  # type: ignore[list-item]
    assert fingerprints([held[-1][1]]) == held[-1][0]  # type: ignore[list-item]  # also after the end


def test_windows_of_the_simple_form_own_their_frames(mixture: Mixture, expected: list[str]) -> None:
    got = list(batches(mixture, SPEC, batch_size=2, start=0, stop=32, num_workers=1))
    assert [fingerprint(window) for batch in got for window in batch] == expected


def test_memory_does_not_grow(mixture: Mixture) -> None:
    def mapped(pid: int) -> tuple[int, int]:
        """Slots that a process has mapped, and their bytes."""
        spans = [
            line.split()[0] for line in Path(f"/proc/{pid}/maps").read_text().split("\n") if "vpdata-loader" in line
        ]
        ends = [[int(end, 16) for end in span.split("-")] for span in spans]
        return len(spans), sum(end - begin for begin, end in ends)

    gc.collect()  # loaders that an error of another test still holds on to
    with load(mixture, STORED, batch_size=4, start=0, num_workers=2) as loader:
        seen = {}
        for number, _ in enumerate(itertools.islice(loader, 60)):
            if number in (29, 59):
                seen[number] = [mapped(pid) for pid in (os.getpid(), *loader.worker_pids)]
    for (slots, size), (slots_later, size_later) in zip(seen[29], seen[59], strict=True):
        assert slots == slots_later == 3
        assert 0 < size_later <= 2 * size


def test_the_workers_end_with_the_loader(mixture: Mixture) -> None:
    def running(pids: tuple[int, ...]) -> list[int]:
        return [pid for pid in pids if psutil.pid_exists(pid)]

    with load(mixture, SPEC, batch_size=4, start=0, num_workers=2) as closed:
        next(closed)
    dropped = load(mixture, SPEC, batch_size=4, start=0, num_workers=2)
    next(dropped)
    ended = load(mixture, SPEC, batch_size=4, start=0, stop=8, num_workers=2)
    pids = (*closed.worker_pids, *dropped.worker_pids)
    next(ended)
    pids += ended.worker_pids
    assert len(list(ended)) == 1
    del dropped
    assert len(pids) >= 4
    assert not running(pids)
    assert list(closed) == []


def test_the_stream_has_no_end(mixture: Mixture) -> None:
    endless = batches(mixture, SPEC, batch_size=2, start=10**15, stop=None, num_workers=0)
    positions = [window.position for batch in itertools.islice(endless, 3) for window in batch]
    assert positions == list(range(10**15, 10**15 + 6))
    with pytest.raises(TypeError, match="num_samples"):
        len(WindowDataset(mixture, SPEC))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stream_that_ends_ends_the_iterator(datasets: Mapping[str, Path], tmp_path: Path, num_workers: int) -> None:
    pool = {"robocasa": Dataset.open(datasets["robocasa"])}
    finite = make_mixture(pool, file=tmp_path / "mix.toml", exhaustion="stop")
    total = finite.num_positions
    assert total is not None
    with load(finite, SPEC, batch_size=8, start=total - 13, num_workers=num_workers) as loader:
        got = list(loader)
        assert [window.position for batch in got for window in batch.windows] == list(range(total - 13, total))
        assert [len(batch.windows) for batch in got] == [8, 5]
        assert loader.state.position == total
    with load(finite, SPEC, batch_size=8, start=total, num_workers=0) as loader:
        assert list(loader) == []
    assert len(WindowDataset(finite, SPEC)) == total
    with pytest.raises(EndOfStream):
        WindowDataset(finite, SPEC)[total]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_damage_arrives_as_itself(datasets: Mapping[str, Path], tmp_path: Path, num_workers: int) -> None:
    pool = copy_of(datasets, tmp_path, "robocasa")
    clip = pool["robocasa"].clips[0]
    damage(tmp_path / "robocasa", clip)
    mixture = make_mixture(pool, file=tmp_path / "mix.toml")
    with pytest.raises(ShardError) as caught:
        list(batches(mixture, SPEC, batch_size=4, start=0, stop=2000, num_workers=num_workers))
    assert caught.value.episode == clip.key
    assert caught.value.path == str(tmp_path / "robocasa" / clip.shard)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_plain_torch_loader_gives_the_same(mixture: Mixture, expected: list[str], context: str) -> None:
    """In batches, with workers that stay for a second pass."""
    batched: DataLoader[object] = DataLoader(
        WindowDataset(mixture, SPEC),
        batch_sampler=PositionSampler(start=0, stop=12, batch_size=5),  # type: ignore[arg-type]
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context=context,
        collate_fn=list,
    )
    for _ in range(2):
        got = list(batched)
        assert [len(windows) for windows in got] == [5, 5, 2]
        assert [fingerprint(window) for windows in got for window in windows] == expected[:12]


def test_a_plain_torch_loader_needs_no_collate_function(mixture: Mixture, expected: list[str]) -> None:
    single: DataLoader[object] = DataLoader(
        WindowDataset(mixture, SPEC, num_samples=8), batch_size=None, num_workers=1, multiprocessing_context="fork"
    )
    assert [fingerprint(window) for window in single] == expected[:8]


def test_misuse_is_a_value_error(mixture: Mixture) -> None:
    for wrong in ({"start": -1}, {"batch_size": 0}, {"rank": 2, "world_size": 2}):
        with pytest.raises(ValueError, match="makes no batches"):
            load(mixture, SPEC, **{"batch_size": 4, "start": 0, "num_workers": 0} | wrong)
    with pytest.raises(ValueError, match="both None"):
        WindowSpec(num_frames=1, stride=1, horizon=1, height=None, width=4, cameras=("wrist",))
