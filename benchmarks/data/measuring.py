"""What every row of a table is measured by: an iterator of batch sizes enters, one `Measured` leaves, as JSON.

Runs in the measured process, also in that of a peer with its own packages: so it imports only numpy and psutil.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

WARM_UP_WINDOWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one row.

    Attributes:
        windows: that came in the timed part.
        seconds: of the timed part.
        cpu_seconds: user and system, of the process and all its descendants, in the timed part.
        peak_rss_bytes: the largest resident size of every process so far, added up; shared pages count in each.
        pss_bytes: at the end of the timed part; a page shared by n processes counts 1/n in each.
        disk_bytes: of the data that the windows come from; 0 where that is not compared.
        psnr_db: of windows against the frames they were made from, None where that is not compared.
    """

    windows: int
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    pss_bytes: int
    disk_bytes: int = 0
    psnr_db: float | None = None

    @property
    def rate(self) -> float:
        """Windows a second."""
        return self.windows / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time a window."""
        return 1000 * self.cpu_seconds / self.windows

    def print(self) -> None:
        """Writes it as the last line of standard output, where `tables.run` looks for it."""
        print(json.dumps(asdict(self)), flush=True)


def window_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every module which loads windows takes; by default the method's windows."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what benchmarks.data.make made")
    parser.add_argument("--num-frames", type=int, default=8, help="of every camera")
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--horizon", type=int, default=32, help="actions")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10, help="of the timed part")
    return parser


def measure(batches: Iterator[int], *, seconds: float) -> Measured:
    """Takes batches, warms up on the first, and times those that follow until `seconds` are over.

    Args:
        batches: yields the number of windows of each batch once they are there; must not end before.
        seconds: how long to time.
    """
    warm = 0
    while warm < WARM_UP_WINDOWS:
        warm += next(batches)
    windows, cpu, begin = 0, cpu_seconds(), time.monotonic()
    while time.monotonic() - begin < seconds:
        windows += next(batches)
    took = time.monotonic() - begin
    return Measured(
        windows=windows,
        seconds=took,
        cpu_seconds=cpu_seconds() - cpu,
        peak_rss_bytes=sum(_status_bytes(process.pid, "VmHWM") for process in processes()),
        pss_bytes=sum(_pss_bytes(process.pid) for process in processes()),
    )


def processes() -> list[psutil.Process]:
    """This process and all its descendants."""
    here = psutil.Process()
    return [here, *here.children(recursive=True)]


def cpu_seconds() -> float:
    """User and system time of this process and its descendants, those that have ended and been waited for included."""
    times = [process.cpu_times() for process in processes()]
    return float(sum(t.user + t.system + t.children_user + t.children_system for t in times))


def psnr_db(pairs: Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> float:
    """Of all pairs (found, expected) together, peak 255."""
    error, count = 0.0, 0
    for found, expected in pairs:
        error += float(np.square(found.astype(np.float64) - expected).sum())
        count += expected.size
    return float(10 * np.log10(255**2 * count / error)) if error else float("inf")


def _status_bytes(pid: int, field: str) -> int:
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024


def _pss_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as file:  # noqa: PTH123
        line = next(line for line in file if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024
