"""How long a run takes until its first window is found, and what memory that needs, at a growing number of clips.

    python -m benchmarks.data.startup --work DIR

Enters: nothing; the indexes are made in DIR by `benchmarks.data.synthetic` (a minute for a million clips) and kept.
Leaves a table, with `--json` the same figures. Every figure is from a fresh process, the median of the rounds; the
files are in the page cache. `import torch` and a plain `pandas.read_parquet` of the same index are measured beside it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

POSITION = 10**9
ROWS = {
    "dataset_open_seconds": "`Dataset.open`, s",
    "mixture_open_seconds": "`Mixture.open`, s",
    "first_locate_seconds": f"first `locate`, at position 10^{len(str(POSITION)) - 1}, s",
    "start_seconds": "**start or resume: both, s**",
    "start_megabytes": "private memory that takes, MB",
    "first_clip_seconds": "first `Clip` (reads the other columns), s",
    "clip_megabytes": "private memory with it, MB",
    "clip_microseconds": "every other `Clip`, µs",
    "locates_a_second": "`locate`, /s",
    "pandas_seconds": "`pandas.read_parquet` of the index, s",
    "pandas_megabytes": "private memory that takes, MB",
    "torch_seconds": "`import torch`, s",
    "start_by_torch": "start / `import torch`",
}

T = TypeVar("T")


class Watch:
    """What each step took, and how much more private memory the process has than at the beginning."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}
        self._process = psutil.Process()
        self._before = self._process.memory_full_info().uss

    def time(self, name: str, work: Callable[[], T], *, unit: float = 1.0) -> T:
        """Does the work and notes its time in seconds / `unit`."""
        begin = time.perf_counter()
        result = work()
        self.found[name] = (time.perf_counter() - begin) / unit
        return result

    def weigh(self, name: str) -> None:
        """Notes the private memory (USS) since the beginning in MB."""
        self.found[name] = (self._process.memory_full_info().uss - self._before) / 1e6


def measure_dataset(mixture_file: Path) -> dict[str, float]:
    """The data set alone."""
    from vpdata.shards.dataset import Dataset

    watch = Watch()
    watch.time("dataset_open_seconds", lambda: Dataset.open(mixture_file.with_suffix("")))
    return watch.found


def measure_start(mixture_file: Path) -> dict[str, float]:
    """What a run does before its first window."""
    from vpdata.mixture.mixture import Mixture

    watch = Watch()
    mixture = watch.time("mixture_open_seconds", lambda: Mixture.open(mixture_file))
    first = watch.time("first_locate_seconds", lambda: mixture.locate(POSITION))
    watch.weigh("start_megabytes")
    watch.found["start_seconds"] = watch.found["mixture_open_seconds"] + watch.found["first_locate_seconds"]
    clips = mixture.datasets[first.dataset].clips
    watch.time("first_clip_seconds", lambda: clips[first.clip])
    watch.weigh("clip_megabytes")
    count = 5000
    refs = watch.time("locate", lambda: [mixture.locate(POSITION + i) for i in range(count)], unit=count)
    watch.found["locates_a_second"] = 1 / watch.found.pop("locate")
    watch.time("clip_microseconds", lambda: [clips[ref.clip] for ref in refs], unit=count / 1e6)
    return watch.found


def measure_pandas(mixture_file: Path) -> dict[str, float]:
    """The whole index as any other program would read it."""
    import pandas as pd

    watch = Watch()
    frame = watch.time("pandas_seconds", lambda: pd.read_parquet(mixture_file.with_suffix("") / "index.parquet"))
    watch.weigh("pandas_megabytes")
    assert len(frame)
    return watch.found


def measure_torch(_: Path) -> dict[str, float]:
    """What every training process pays anyway."""
    watch = Watch()
    watch.time("torch_seconds", lambda: __import__("torch"))
    return watch.found


PARTS = {"dataset": measure_dataset, "start": measure_start, "pandas": measure_pandas, "torch": measure_torch}


def measured(mixture_file: Path, *, rounds: int) -> dict[str, float]:
    """The medians of all figures for one index, each part in a process of its own."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for part in PARTS:
            command = [sys.executable, "-m", "benchmarks.data.startup", "--part", part, str(mixture_file)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            for name, value in json.loads(done.stdout).items():
                found.setdefault(name, []).append(value)
    medians = {name: statistics.median(values) for name, values in found.items()}
    return medians | {"start_by_torch": medians["start_seconds"] / medians["torch_seconds"]}


def main() -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder for the indexes")
    parser.add_argument("--clips", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", nargs=2, metavar=("PART", "MIXTURE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part, mixture_file = options.part
        print(json.dumps(PARTS[part](Path(mixture_file))))
        return
    if options.work is None:
        parser.error("--work is missing")
    from benchmarks.data import synthetic

    files = {n: synthetic.make(options.work / f"clips-{n}", num_clips=n) for n in options.clips}
    columns = {n: measured(file, rounds=options.rounds) for n, file in files.items()}
    if options.json:
        print(json.dumps(columns, indent=2))
        return
    print("| clips |", " | ".join(f"{n:,}" for n in columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for name, label in ROWS.items():
        print(f"| {label} |", " | ".join(f"{found[name]:,.3g}" for found in columns.values()), "|")


if __name__ == "__main__":
    main()
