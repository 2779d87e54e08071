"""How writing frames is measured: a command enters, what it took leaves.

Runs also in the environment of a peer with its own packages, so it imports only psutil.
"""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Camera frames that were encoded, and what that took: seconds by the clock and of all processors together."""

    frames: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time a frame."""
        return 1000 * self.cpu_seconds / self.frames

    def print(self) -> None:
        """Writes it as the last line of standard output, where `reported` looks for it."""
        print(json.dumps(asdict(self)), flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A command that ended well: what it took from its start to its end.

    `peak_pss_bytes` is the most that it and its descendants had in memory at one of the moments looked at; a page that
    n processes share counts 1/n in each. 0 where nobody looked.
    """

    seconds: float
    cpu_seconds: float
    peak_pss_bytes: int


def reported(command: Sequence[str]) -> Written:
    """What a command says of itself with `Written.print`."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Written(**json.loads(done.stdout.splitlines()[-1]))


def watch(command: Sequence[str], *, memory: bool = False) -> Watched:
    """Runs a command; with `memory`, looks at it and its descendants every `SAMPLE_SECONDS`, which slows it down."""
    peak, begin = 0, time.monotonic()
    before = psutil.Process().cpu_times()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while memory and process.poll() is None:
        peak = max(peak, _pss_bytes(process.pid))
        time.sleep(SAMPLE_SECONDS)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)
    after = psutil.Process().cpu_times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Watched(seconds=time.monotonic() - begin, cpu_seconds=cpu, peak_pss_bytes=peak)


def _pss_bytes(pid: int) -> int:
    """Of a process and its descendants; those that end meanwhile count nothing."""
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
