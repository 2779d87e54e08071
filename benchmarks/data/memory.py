"""Whether the loader's memory grows: loads many windows and watches its processes.

    python -m benchmarks.data.memory

Frames are small (32 x 32), so that 100,000 windows take minutes. The first twentieth fills caches and is not counted.
Goal: no process's resident size grows by more than 5 % after that. Exits with 1 where one does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.data.tables import ROOT, machine
from vpdata.loader.loader import load
from vpdata.loader.window import WindowSpec
from vpdata.mixture.mixture import Mixture
from vpdata.sources.robocasa import CAMERAS

GOAL = 0.05
BATCH_SIZE = 8
NUM_SAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Resident bytes after so many windows: of the consumer, and of the workers in the order of their ids."""

    windows: int
    consumer: int
    workers: tuple[int, ...]


def watch(data: Path, *, windows: int, workers: int) -> Iterator[Sample]:
    """Loads, and samples `NUM_SAMPLES` times."""
    spec = WindowSpec(num_frames=8, stride=4, horizon=32, height=None, width=None, cameras=tuple(CAMERAS))
    mixture = Mixture.open(data / "h264.toml")
    every = max(1, windows // NUM_SAMPLES // BATCH_SIZE)
    with load(
        mixture, spec, batch_size=BATCH_SIZE, start=0, stop=every * BATCH_SIZE * NUM_SAMPLES, num_workers=workers
    ) as loader:
        for number, _ in enumerate(loader, 1):
            if number % every == 0:
                yield Sample(
                    windows=number * BATCH_SIZE,
                    consumer=psutil.Process(os.getpid()).memory_info().rss,
                    workers=tuple(psutil.Process(pid).memory_info().rss for pid in sorted(loader.worker_pids)),
                )


def growth(samples: list[Sample]) -> list[float]:
    """Of every process, the consumer first: the last sample against the first."""
    first, last = samples[0], samples[-1]
    pairs = zip((first.consumer, *first.workers), (last.consumer, *last.workers), strict=True)
    return [after / before - 1 for before, after in pairs]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--out", folder + "/data", "--size", "32", "--episodes", "8", "--codecs", "h264"]
        subprocess.run([sys.executable, "-m", "benchmarks.data.make", *arguments], cwd=ROOT, check=True)
        samples = list(watch(Path(folder) / "data", windows=args.windows, workers=args.workers))
    found = growth(samples)
    if args.json:
        content = {"machine": machine(), "samples": [asdict(sample) for sample in samples], "growth": found}
        print(json.dumps(content, indent=2))
    else:
        print(f"Resident memory of the loader, {args.workers} workers\n{machine()}\n")
        print("| windows | consumer, MB | workers, MB |\n|---|---|---|")
        for sample in samples:
            workers = ", ".join(f"{size / 1e6:.1f}" for size in sample.workers)
            print(f"| {sample.windows:,} | {sample.consumer / 1e6:.1f} | {workers} |")
        print(f"\ngrowth: {', '.join(f'{value:+.1%}' for value in found)}; goal: at most {GOAL:+.0%}")
    if max(found) > GOAL:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
