"""Thousands of damaged recordings, each through the whole of an ingest: is any a crash, a hang, or taken for sound?

    python -m benchmarks.data.fuzz --inputs 5184

Enters: the recordings of `fuzz_subjects`, damaged by `fuzz_mutations`; the same inputs in every run. Leaves: a table by
subject of how they ended. Each is planned, encoded (frames as they are), published and read back in a process that
also does others; only worker processes are left out, which would take most of the time. One that ends the process,
takes more than `--seconds` or needs `--memory-gb` more than it begins with is found and told apart from the others.

    refused     a VpdataError that names the file
    unharmed    every frame, action, state and text of the data set is that of the sound recording
    unfindable  something differs, and bytes were changed that no checksum in the file covers
    accepted    something differs, although checksums in the file cover all changed bytes, or its end is missing
    failed      a signal, a hang, too much memory, another exception, or an error that does not name the file

Exits with 1 where anything was accepted or failed; `--again NAME` runs one input and shows what happened.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from benchmarks.data.fuzz_formats import Subject
from benchmarks.data.fuzz_mutations import MUTATIONS, Damaged, damage
from benchmarks.data.fuzz_subjects import subjects
from vpdata.clips.encode import PROVENANCE, ClipOptions
from vpdata.errors import VpdataError
from vpdata.ingest import IngestOptions, ingest
from vpdata.ingest.worker import Outcome, Task, carry_out
from vpdata.shards.dataset import Dataset

REFUSED, UNHARMED, UNFINDABLE, ACCEPTED, FAILED = OUTCOMES = (
    "refused",
    "unharmed",
    "unfindable",
    "accepted",
    "failed",
)
CLOCK_FACTOR = 10
BAD = (ACCEPTED, FAILED)
OPTIONS = IngestOptions(clip=ClipOptions(codec="raw"))
FREE_TEXT = ("content_digest", "tool_version")  # differ wherever any byte of the file does

Contents = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One damaged recording: the subject's place in the list, how it was damaged, and which of its kind it is."""

    subject: int
    kind: str
    number: int

    def name_among(self, found: Sequence[Subject]) -> str:
        """By which it is told, and run again."""
        return f"{found[self.subject].name}/{self.kind}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one input ended; `detail` is the error, or what differs."""

    outcome: str
    detail: str


def inputs_of(found: Sequence[Subject], *, count: int) -> Iterator[Input]:
    """The first `count` inputs: every kind for every subject, then again with other numbers."""
    for index in range(count):
        kind_of, subject = divmod(index, len(found))
        number, kind = divmod(kind_of, len(MUTATIONS))
        yield Input(subject=subject, kind=list(MUTATIONS)[kind], number=number)


def ingested(subject: Subject, data: bytes, folder: Path) -> Contents:
    """What an ingest of the recording with these bytes stores: every clip's members by name, `json` parsed.

    Raises:
        VpdataError: the ingest refuses it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder
    ) as own:  # never the same path, by which sources remember what they read
        recording, out = Path(own) / "task" / "recording", Path(own) / "out"
        for name, content in {**subject.files, subject.file: data}.items():
            (recording / name).parent.mkdir(parents=True, exist_ok=True)
            (recording / name).write_bytes(content)
        path = recording / subject.given
        with patch("vpdata.ingest.run", _in_this_process):
            ingest(subject.source, [path], out, replace(OPTIONS, source=subject.options), workers=1)
        return _contents(Dataset.open(out))


def _contents(dataset: Dataset) -> Contents:
    contents: Contents = {}
    for number, clip in enumerate(dataset.clips):
        members: dict[str, Any] = {name: bytes(value) for name, value in dataset.read_clip(number).items()}
        about = json.loads(members.pop(PROVENANCE))
        members |= {key: value for key, value in about.items() if key not in FREE_TEXT}
        contents[f"{clip.episode.file} {clip.episode.episode_id} {clip.span.start}"] = members
    return contents


def _in_this_process(tasks: Sequence[Task], *, workers: int, progress: Any) -> list[Outcome]:  # noqa: ARG001
    """What `vpdata.ingest.pool.run` does, without processes."""
    outcomes = [carry_out(task, progress=progress) for task in tasks]
    for outcome in outcomes:
        if outcome.failures:
            raise outcome.failures[0].error
    return outcomes


def outcome_of(subject: Subject, damaged: Damaged, sound: Contents, folder: Path) -> Result:
    """Ingests a damaged recording and sorts what happens."""
    try:
        found = ingested(subject, damaged.data, folder)
    except VpdataError as error:
        named = Path(subject.file).stem in str(error) or "recording" in str(error)
        return Result(outcome=REFUSED if named else FAILED, detail=str(error))
    except Exception:
        return Result(outcome=FAILED, detail=traceback.format_exc())
    differing = _differing(found, sound)
    if not differing:
        return Result(outcome=UNHARMED, detail="")
    outcome = ACCEPTED if is_findable(subject, damaged) else UNFINDABLE
    return Result(outcome=outcome, detail=f"{damaged.changed}: {', '.join(differing)} differ")


def is_findable(subject: Subject, damaged: Damaged) -> bool:
    """Whether the file itself tells: its end is missing, or a checksum covers all that was changed."""
    if damaged.changed is None:
        return subject.tells_its_end and subject.data.startswith(damaged.data)
    start, stop = damaged.changed
    return any(first <= start and stop <= last for first, last in subject.checked)


def _differing(found: Contents, sound: Contents) -> list[str]:
    if found.keys() != sound.keys():
        return ["clips"]
    names = {name for clip in (*found.values(), *sound.values()) for name in clip}
    return sorted(n for n in names if any(found[key].get(n) != sound[key].get(n) for key in sound))


def work(connection: Connection, found: Sequence[Subject], folder: Path, memory_bytes: int) -> None:
    """A process's whole life: for each `Input` received, sends its `Result`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # FFmpeg's own words
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = psutil.Process().memory_info().vms + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sound: dict[int, Contents] = {}
    connection.send("ready")
    while True:
        one: Input = connection.recv()
        subject = found[one.subject]
        if one.subject not in sound:
            sound[one.subject] = ingested(subject, subject.data, folder)
        damaged = damage(subject.data, subject.places, one.kind, seed=one.name_among(found))
        connection.send(outcome_of(subject, damaged, sound[one.subject], folder))


class Fuzzer:
    """A process that does inputs one after the other, and its successors where one ends it."""

    def __init__(self, found: Sequence[Subject], folder: Path, *, seconds: float, memory_bytes: int) -> None:
        self._arguments = (found, folder, memory_bytes)
        self.seconds = seconds
        self._process: SpawnProcess | None = None
        self._begin = self._begin_cpu = 0.0
        self.connection: Connection

    def begin(self, one: Input) -> None:
        """Hands it an input."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self._process = context.Process(target=work, args=(theirs, *self._arguments), daemon=True)
            self._process.start()
            theirs.close()
            assert self.connection.recv() == "ready"
        self.connection.send(one)
        self._begin, self._begin_cpu = time.monotonic(), self._cpu_seconds()

    def _cpu_seconds(self) -> float:
        assert self._process is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def _is_late(self) -> bool:
        """By processor time, as others may use the processors; or by the clock, where it waits for what never comes."""
        if time.monotonic() - self._begin > CLOCK_FACTOR * self.seconds:
            return True
        return self._cpu_seconds() - self._begin_cpu > self.seconds

    def end(self) -> Result | None:
        """The result once there is one; a process that is over or late is one too."""
        assert self._process is not None
        try:
            if self.connection.poll():
                result: Result = self.connection.recv()
                return result
            if not self._is_late():
                return None
            self._process.kill()
            detail = f"no answer after {self.seconds} s of processor time"
        except (EOFError, ConnectionError, psutil.NoSuchProcess):
            self._process.join()
            detail = f"the process ended: {self._process.exitcode}"
        self._process.join()
        self._process = None
        return Result(outcome=FAILED, detail=detail)

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()


def run(
    found: Sequence[Subject], inputs: Sequence[Input], *, processes: int, seconds: float, memory_bytes: int
) -> dict[Input, Result]:
    """How every input ended."""
    results: dict[Input, Result] = {}
    waiting = iter(inputs)
    with tempfile.TemporaryDirectory() as folder:
        idle = [
            Fuzzer(found, Path(folder) / str(number), seconds=seconds, memory_bytes=memory_bytes)
            for number in range(processes)
        ]
        busy: dict[Fuzzer, Input] = {}
        try:
            while len(results) < len(inputs):
                while idle and (one := next(waiting, None)) is not None:
                    fuzzer = idle.pop()
                    fuzzer.begin(one)
                    busy[fuzzer] = one
                wait([fuzzer.connection for fuzzer in busy], timeout=0.5)
                for fuzzer in list(busy):
                    if (result := fuzzer.end()) is not None:
                        results[busy.pop(fuzzer)] = result
                        idle.append(fuzzer)
        finally:
            for fuzzer in (*idle, *busy):
                fuzzer.close()
    return results


def print_table(found: Sequence[Subject], results: dict[Input, Result]) -> None:
    """As Markdown, and every bad one in a line of its own."""
    counts = Counter((found[one.subject].name, result.outcome) for one, result in results.items())
    print(f"| | inputs | {' | '.join(OUTCOMES)} |\n|{'---|' * (len(OUTCOMES) + 2)}")
    for name in (*(subject.name for subject in found), "all"):
        row = [sum(n for (who, what), n in counts.items() if name in (who, "all") and what == o) for o in OUTCOMES]
        print(f"| {name} | {sum(row):,} | {' | '.join(f'{n:,}' for n in row)} |")
    for one, result in results.items():
        if result.outcome in BAD:
            print(f"{result.outcome}: {one.name_among(found)!r}: {result.detail.strip().splitlines()[-1]}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=5184)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--memory-gb", type=float, default=3)
    parser.add_argument("--again", metavar="NAME", help="one input, as it is named in the list of bad ones")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = subjects()
    inputs = list(inputs_of(found, count=args.inputs))
    if args.again:
        inputs = [one for one in inputs if one.name_among(found) == args.again]
    results = run(
        found,
        inputs,
        processes=args.processes,
        seconds=args.seconds,
        memory_bytes=int(args.memory_gb * 2**30),
    )
    if args.json or args.again:
        named = {one.name_among(found): [result.outcome, result.detail] for one, result in results.items()}
        json.dump(named, sys.stdout, indent=2)
    else:
        print_table(found, results)
    if any(result.outcome in BAD for result in results.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
