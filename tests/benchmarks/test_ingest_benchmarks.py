"""The ingest benchmarks run as documented, on inputs small enough for a test. Their figures are not judged."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.data.ingest import AGAIN, ENCODER, INGEST, ratios
from benchmarks.data.ingest_measuring import ROOT, Written, watch
from benchmarks.data.ingest_memory import Row, is_flat, measure


def test_ingest_beside_the_encoder(tmp_path: Path) -> None:
    size = ["--episodes", "2", "--frames", "30", "--size", "32", "--copies", "2", "--rounds", "1", "--seconds", "0.2"]
    arguments = [sys.executable, "-m", "benchmarks.data.ingest", "--work", str(tmp_path), *size, "--workers", "1"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    for name in (ENCODER, INGEST, AGAIN):
        assert f"\n| {name} |" in done.stdout
    assert "| ingest | 360 |" in done.stdout  # 4 episodes of 30 frames and 3 cameras
    assert [path.name for path in tmp_path.iterdir()] == ["2x2-30-32"]


def test_ratios_are_taken_within_a_round() -> None:
    def at(seconds: float) -> Written:
        return Written(frames=100, seconds=seconds, cpu_seconds=seconds)

    found = {ENCODER: [at(1), at(4)], INGEST: [at(2), at(5)], AGAIN: [at(0.1), at(0.1)]}
    assert ratios(found) == {ENCODER: [0.5, 0.8]}


def test_memory_of_a_small_ingest(tmp_path: Path) -> None:
    row = measure(tmp_path, steps=8, compression="gzip", workers=1)
    assert row.file_bytes > 0
    assert 20e6 < row.peak_pss_bytes < 1.5e9
    assert not list(tmp_path.iterdir())


def test_growth_is_judged_for_each_kind_of_file() -> None:
    def row(compression: str | None, steps: int, peak: int) -> Row:
        return Row(compression=compression, steps=steps, file_bytes=1, peak_pss_bytes=peak)

    assert is_flat([row(None, 1, 100), row(None, 2, 105), row("gzip", 1, 200), row("gzip", 2, 210)])
    assert not is_flat([row(None, 1, 100), row(None, 2, 105), row("gzip", 1, 200), row("gzip", 2, 230)])


def test_children_of_a_command_count() -> None:
    work = "x = b'x' * 10**8; sum(range(10**7))"
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    watched = watch([sys.executable, "-c", grandchild], memory=True)
    assert watched.cpu_seconds > 0.05
    assert watched.peak_pss_bytes > 10**8
    with pytest.raises(subprocess.CalledProcessError):
        watch([sys.executable, "-c", "raise SystemExit(3)"])
