"""Runs the rows of a benchmark, each in a process of its own, round by round; a table, ratios and goals leave.

All rows of a round run one after another, and a ratio is taken within a round: what else the machine does then hurts
both sides alike. The table shows the median over the rounds.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.data.measuring import Measured
from vpdata.errors import VpdataError

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row: its name, the module that prints a `Measured`, its arguments, and the Python that runs it."""

    name: str
    module: str
    arguments: tuple[str, ...]
    python: str = sys.executable


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How much better `ours` is than `theirs`, in windows/s or, by "cpu", in processor time; None: no goal."""

    ours: str
    theirs: str
    by: str = "rate"
    goal: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A ratio as found: the median over the rounds, and the lowest and highest."""

    ratio: Ratio
    median: float
    low: float
    high: float

    @property
    def missed(self) -> bool:
        """Whether there was a goal and it was not reached."""
        return self.ratio.goal is not None and self.median < self.ratio.goal


Rounds = Mapping[str, Sequence[Measured]]


def peer_python(peers: Path) -> str:
    """The Python of the folder that `benchmarks/peers/setup.sh` made. Raises VpdataError where there is none."""
    python = peers.resolve() / "venv" / "bin" / "python"
    if not python.exists():
        raise VpdataError("the peers are not installed.", path=peers, hint=f"sh benchmarks/peers/setup.sh {peers}")
    return str(python)


def run(row: Row) -> Measured:
    """Runs one row once, with one thread in every process; its messages go to our standard error."""
    command = [row.python, "-m", row.module, *row.arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def run_all(rows: Sequence[Row], *, rounds: int) -> Rounds:
    """Every row once a round, in order."""
    found: dict[str, list[Measured]] = {row.name: [] for row in rows}
    for number in range(rounds):
        for row in rows:
            print(f"round {number + 1} of {rounds}: {row.name}", file=sys.stderr, flush=True)
            found[row.name].append(run(row))
    return found


def compare(found: Rounds, ratios: Sequence[Ratio]) -> list[Compared]:
    """The ratios, each taken within its round."""
    value: Mapping[str, Callable[[Measured], float]] = {"rate": lambda m: m.rate, "cpu": lambda m: 1 / m.cpu_ms}
    compared = []
    for ratio in ratios:
        of = value[ratio.by]
        values = [of(a) / of(b) for a, b in zip(found[ratio.ours], found[ratio.theirs], strict=True)]
        compared.append(
            Compared(ratio=ratio, median=statistics.median(values), low=min(values), high=max(values)),
        )
    return compared


def machine() -> str:
    """One line on where the figures come from."""
    with open("/proc/cpuinfo") as file:  # noqa: PTH123
        names = {line.split(":")[1].strip() for line in file if line.startswith("model name")}
    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / 2**30
    versions = f"Python {platform.python_version()}, Linux {platform.release()}"
    return f"{cores} cores of {', '.join(sorted(names))}; {memory:.0f} GB; {versions}; load {os.getloadavg()[0]:.1f}"


def report(title: str, found: Rounds, ratios: Sequence[Ratio], *, as_json: bool) -> bool:
    """Prints rows and ratios, as Markdown or JSON. Returns whether every goal was reached."""
    compared = compare(found, ratios)
    if as_json:
        content = {
            "title": title,
            "machine": machine(),
            "rounds": {name: [asdict(measured) for measured in rounds] for name, rounds in found.items()},
            "ratios": [asdict(c) | {"missed": c.missed} for c in compared],
        }
        print(json.dumps(content, indent=2))
    else:
        print(f"{title}\n{machine()}\n")
        print(_table(found))
        print(_ratios(compared))
    return not any(c.missed for c in compared)


def _table(found: Rounds) -> str:
    lines = ["| | windows/s | CPU-ms a window | peak RSS, MB | PSS, MB | on disk, MB | PSNR, dB |", "|---" * 7 + "|"]
    for name, rounds in found.items():
        last = rounds[-1]
        cells = (
            f"{statistics.median(m.rate for m in rounds):.1f}",
            f"{statistics.median(m.cpu_ms for m in rounds):.2f}",
            f"{max(m.peak_rss_bytes for m in rounds) / 1e6:.0f}",
            f"{max(m.pss_bytes for m in rounds) / 1e6:.0f}",
            f"{last.disk_bytes / 1e6:.1f}" if last.disk_bytes else "",
            "" if last.psnr_db is None else f"{last.psnr_db:.1f}",
        )
        lines.append("| " + " | ".join((name, *cells)) + " |")
    return "\n".join(lines) + "\n"


def _ratios(compared: Sequence[Compared]) -> str:
    lines = ["| | ratio | lowest, highest | goal |", "|---" * 4 + "|"]
    for c in compared:
        what = f"{c.ratio.ours} / {c.ratio.theirs}" + (", CPU" if c.ratio.by == "cpu" else "")
        goal = "" if c.ratio.goal is None else f"≥ {c.ratio.goal:g}, {'missed' if c.missed else 'reached'}"
        lines.append(f"| {what} | {c.median:.2f} | {c.low:.2f}, {c.high:.2f} | {goal} |")
    return "\n".join(lines)
