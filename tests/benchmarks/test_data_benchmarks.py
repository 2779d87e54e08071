"""The data benchmarks run as documented, on a set small enough for a test. Their figures are not judged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.data.hdf5_reference import main as hdf5_reference
from benchmarks.data.lerobot import main as lerobot
from benchmarks.data.make import FRAMES, make, window_places
from benchmarks.data.measuring import Measured, measure, psnr_db
from benchmarks.data.tables import ROOT, Ratio, compare
from vpdata.errors import VpdataError
from vpdata.mixture.mixture import Mixture

RECORDINGS = ROOT / "tests" / "recordings" / "robocasa"
SIZE = {"recordings": [RECORDINGS], "episodes": 5, "frames": 45, "size": 32, "names": ["h264", "raw"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("frames") / "set"
    make(root, **SIZE)  # type: ignore[arg-type]
    return root


def run(module: str, *arguments: str) -> Any:
    """What a benchmark prints with --json; it may miss its goals (exit code 1) but not fail otherwise."""
    command = [sys.executable, "-m", f"benchmarks.data.{module}", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_the_set_is_made_once_and_not_mixed_up(made: Path) -> None:
    before = (made / FRAMES).stat().st_mtime_ns
    make(made, **SIZE)  # type: ignore[arg-type]
    assert (made / FRAMES).stat().st_mtime_ns == before
    with pytest.raises(VpdataError, match="other arguments"):
        make(made, **SIZE | {"episodes": 6})  # type: ignore[arg-type]


def test_peers_get_the_windows_of_our_mixture_for_every_codec(made: Path) -> None:
    places = [tuple(place) for place in json.loads((made / "windows.json").read_text())]
    assert {demo for demo, _ in places} == set(range(5))
    assert {start for _, start in places} == set(range(45))
    for codec in ("h264", "raw"):
        assert list(window_places(Mixture.open(made / f"{codec}.toml"), count=100)) == places[:100]


def test_loader_against_decoding_alone(made: Path) -> None:
    options = ("--data", str(made), "--workers", "1", "--seconds", "0.3", "--rounds", "1")
    found = run("loader", *options)
    assert list(found["rounds"]) == [
        f"{codec}, 1 {what}" for codec in ("h264", "raw") for what in ("processes, decoding alone", "workers, loader")
    ]
    for rounds in found["rounds"].values():
        assert len(rounds) == 1
        assert all(Measured(**measured).cpu_ms > 0 for measured in rounds)
    assert found["rounds"]["raw, 1 workers, loader"][0]["psnr_db"] == float("inf")
    assert found["rounds"]["h264, 1 workers, loader"][0]["psnr_db"] > 31


def test_index_against_webdataset(made: Path) -> None:
    found = run("webdataset", "--data", str(made), "--seconds", "0.2", "--rounds", "1")
    assert [len(rounds) for rounds in found["rounds"].values()] == [1, 1, 1, 1]
    assert found["ratios"][0]["median"] > 0


def test_memory() -> None:
    found = run("memory", "--windows", "320", "--workers", "1")
    assert len(found["samples"]) == 20
    assert found["samples"][-1]["windows"] == 320
    assert all(len(sample["workers"]) == 1 for sample in found["samples"])


@pytest.mark.parametrize("main", [lerobot, hdf5_reference])
def test_without_the_peers_their_setup_is_named(main: Any, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--data", str(made), "--peers", str(made / "none")])
    with pytest.raises(VpdataError, match=r"sh benchmarks/peers/setup\.sh"):
        main()


def test_processor_time_of_children_counts() -> None:
    def batches() -> Any:
        while True:
            subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
            yield 64

    measured = measure(batches(), seconds=0.5)
    assert measured.windows % 64 == 0
    assert measured.cpu_seconds > 0.25 * measured.seconds


def test_ratios_are_taken_within_a_round() -> None:
    def at(rate: int, cpu: float) -> Measured:
        return Measured(windows=rate, seconds=1.0, cpu_seconds=cpu, peak_rss_bytes=0, pss_bytes=0)

    found = {"ours": [at(100, 1), at(10, 1), at(60, 1)], "theirs": [at(50, 1), at(5, 2), at(20, 1)]}
    rate, cpu = compare(
        found, [Ratio(ours="ours", theirs="theirs", goal=2.5), Ratio(ours="ours", theirs="theirs", by="cpu")]
    )
    assert (rate.median, rate.low, rate.high, rate.missed) == (2.0, 2.0, 3.0, True)
    assert (cpu.median, cpu.low, cpu.high, cpu.missed) == (3.0, 2.0, 4.0, False)


def test_psnr() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    assert psnr_db(iter([(black, black)])) == float("inf")
    assert psnr_db(iter([(black + np.uint8(255), black)])) == 0
