"""Damaged clips: what replaces their windows, what the ledger says, and when a run ends."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from streams import SPEC, STORED, copy_of, damage, fingerprint, fingerprints, window_at

from vpdata.errors import DamageError, LoaderError, ShardError
from vpdata.loader import corrupt
from vpdata.loader.corrupt import Corrupt, Ledger, Tolerance
from vpdata.loader.loader import Loader, load
from vpdata.loader.window import WindowSpec
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture

NUM = 32


class Damaged:
    """A mixture, the same one over a copy with a damaged clip, and what the latter must show."""

    def __init__(self, datasets: Mapping[str, Path], folder: Path, *, source: int, spec: WindowSpec) -> None:
        names = ("robocasa", "video")
        whole = copy_of(datasets, folder / "whole", *names)
        self.whole = make_mixture(whole, file=folder / "whole" / "mix.toml", seed=1)
        refs = [self.whole.locate(t) for t in range(NUM)]
        self.bad = next((ref.dataset, ref.clip) for ref in refs if ref.dataset == source)
        clip = whole[names[source]].clips[self.bad[1]]
        self.key = clip.key
        copies = copy_of(datasets, folder / "damaged", *names)
        damage(folder / "damaged" / names[source], clip)
        self.mixture = make_mixture(copies, file=folder / "damaged" / "mix.toml", seed=1)
        self.attempts = [next(k for k in range(99) if not self.hits(t, k)) for t in range(NUM)]
        self.expected = [fingerprint(window_at(self.whole, t, spec, attempt=k)) for t, k in enumerate(self.attempts)]

    def hits(self, position: int, attempt: int) -> bool:
        ref = self.whole.locate(position, attempt=attempt)
        return (ref.dataset, ref.clip) == self.bad


@pytest.fixture(scope="module")
def damaged(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """A robocasa clip, all of whose replacements show the same cameras at the same size."""
    made = Damaged(datasets, tmp_path_factory.mktemp("damaged"), source=0, spec=SPEC)
    assert 1 <= sum(made.attempts) <= 10
    return made


def stream(mixture: Mixture, ledger: Path | None, **options: int) -> Loader:
    return load(mixture, SPEC, **{"batch_size": 4, "start": 0, "stop": NUM, "num_workers": 0} | options, ledger=ledger)  # type: ignore[arg-type]


def lines(ledger: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in ledger.read_text().splitlines()]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_corrupt_windows_are_replaced_and_all_others_stay(
    damaged: Damaged, tmp_path: Path, num_workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = tmp_path / "corrupt.jsonl"
    with stream(damaged.mixture, ledger, num_workers=num_workers) as loader:
        batches = []
        replaced: list[Corrupt] = []
        for batch in loader:
            batches += fingerprints([batch])
            replaced += batch.replaced
        assert loader.num_corrupt == sum(damaged.attempts)
    assert batches == damaged.expected
    entered = [(t, k) for t in range(NUM) for k in range(damaged.attempts[t])]
    assert [(c.position, c.attempt) for c in replaced] == entered
    assert [(line["position"], line["attempt"]) for line in lines(ledger)] == entered
    for line in lines(ledger):
        assert line["source"] == "robocasa"
        assert line["key"] == damaged.key
        assert str(line["shard"]).endswith(".tar")
        assert "CRC-32" in str(line["what"])
    assert f"position {entered[0][0]} is corrupt" in caplog.text


def test_ranks_replace_alike(damaged: Damaged, tmp_path: Path) -> None:
    ledger = tmp_path / "corrupt.jsonl"
    parts = []
    for rank in range(2):
        with stream(damaged.mixture, ledger, rank=rank, world_size=2) as loader:
            parts.append([fingerprints([batch]) for batch in loader])
    assert [window for a, b in zip(*parts, strict=True) for window in a + b] == damaged.expected
    assert len(lines(ledger)) == sum(damaged.attempts)


def test_a_resumed_run_does_not_enter_a_window_again(damaged: Damaged, tmp_path: Path) -> None:
    ledger = tmp_path / "corrupt.jsonl"
    list(stream(damaged.mixture, ledger))
    before = ledger.read_text()
    ledger.write_text(before + before[:20])  # as a crash amid a line would leave it
    with stream(damaged.mixture, ledger, start=4) as loader:
        assert fingerprints(loader) == damaged.expected[4:]
    assert ledger.read_text() == before


def test_without_damage_there_is_no_ledger(mixture: Mixture, tmp_path: Path) -> None:
    with stream(mixture, tmp_path / "corrupt.jsonl", stop=4) as loader:
        assert [batch.replaced for batch in loader] == [()]
        assert loader.num_corrupt == 0
    assert not (tmp_path / "corrupt.jsonl").exists()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_replacement_may_have_another_size(datasets: Mapping[str, Path], tmp_path: Path, num_workers: int) -> None:
    made = Damaged(datasets, tmp_path, source=1, spec=STORED)
    sizes = [
        {next(iter(window_at(made.whole, t, STORED, attempt=k).frames.values())).shape for k in (0, made.attempts[t])}
        for t in range(NUM)
    ]
    assert any(len(both) == 2 for both in sizes)
    with load(made.mixture, STORED, batch_size=8, start=0, stop=NUM, num_workers=num_workers) as loader:
        got = []
        for batch in loader:
            got += fingerprints([batch])
            assert sorted(place for group in batch.groups for place in group.places) == list(range(8))
            for group in batch.groups:
                for member, place in enumerate(group.places):
                    for camera, frames in group.frames.items():
                        assert frames.flags.c_contiguous
                        assert (frames[member] == batch.windows[place].frames[camera]).all()
    assert got == made.expected


@pytest.mark.parametrize("num_workers", [0, 1])
def test_to_stop_is_to_raise_the_error(damaged: Damaged, num_workers: int) -> None:
    first = next(t for t in range(NUM) if damaged.attempts[t])
    loader = load(damaged.mixture, SPEC, batch_size=1, start=0, num_workers=num_workers, on_corrupt="stop")
    assert [next(loader).position for _ in range(first)] == list(range(first))
    with pytest.raises(DamageError, match="CRC-32") as caught:
        next(loader)
    assert caught.value.episode == damaged.key


def test_a_missing_shard_is_no_corrupt_sample(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    pool = copy_of(datasets, tmp_path, "robocasa")
    (tmp_path / "robocasa" / pool["robocasa"].clips[0].shard).unlink()
    mixture = make_mixture(pool, file=tmp_path / "mix.toml")
    with pytest.raises(ShardError, match="the shard is missing"):
        next(load(mixture, SPEC, batch_size=1, start=0, num_workers=0, ledger=tmp_path / "corrupt.jsonl"))
    assert not (tmp_path / "corrupt.jsonl").exists()


def test_when_nothing_is_whole_the_run_ends(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    pool = copy_of(datasets, tmp_path, "robocasa")
    for clip in pool["robocasa"].clips:
        damage(tmp_path / "robocasa", clip)
    mixture = make_mixture(pool, file=tmp_path / "mix.toml")
    ledger = tmp_path / "corrupt.jsonl"
    with pytest.raises(LoaderError, match=r"11 of 0 windows are corrupt, over 0.1%"):
        next(load(mixture, SPEC, batch_size=1, start=0, num_workers=1, ledger=ledger))
    assert [(line["position"], line["attempt"]) for line in lines(ledger)] == [(0, k) for k in range(11)]


ONE = Corrupt(position=7, attempt=0, source="s", shard="shard-00000.tar", key="k", what="wrist.mp4 is damaged.")


def test_a_thousandth_is_borne_and_no_more() -> None:
    tolerance = Tolerance()
    for _ in range(20):
        for _ in range(1000):
            tolerance.good()
        tolerance.corrupt(ONE)
    with pytest.raises(LoaderError, match=r"21 of 20000 windows are corrupt, .* position 7.*wrist\.mp4") as caught:
        tolerance.corrupt(ONE)
    assert "vpdata repair" in str(caught.value)


def test_a_hundred_in_a_row_are_not_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrupt, "MAX_SHARE", 1.0)
    tolerance = Tolerance()
    for _ in range(2):
        for _ in range(99):
            tolerance.corrupt(ONE)
        tolerance.replaced()
        tolerance.good()
    for _ in range(99):
        tolerance.corrupt(ONE)
        tolerance.replaced()
    with pytest.raises(LoaderError, match="100 windows in a row"):
        tolerance.corrupt(ONE)


def test_ledgers_of_two_processes_are_one_file(tmp_path: Path) -> None:
    ours, theirs = Ledger(tmp_path / "corrupt.jsonl"), Ledger(tmp_path / "corrupt.jsonl")
    ours.enter(ONE)
    ours.enter(ONE)
    theirs.enter(Corrupt(position=8, attempt=0, source="s", shard="t", key="k", what="w"))
    assert [line["position"] for line in lines(tmp_path / "corrupt.jsonl")] == [7, 8]
