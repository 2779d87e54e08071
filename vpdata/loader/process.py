"""A worker as its pool sees it: a process and the pipe to it, whichever way it was started."""

import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import ForkingPickler
from typing import Literal, get_args

from vpdata.loader.jobs import Setup
from vpdata.loader.worker import end_with_parent, work

Method = Literal["spawn", "fork"]
METHODS: tuple[Method, ...] = get_args(Method)
BOOT = "import sys; sys.path[:] = {path!r}; from vpdata.loader.worker import main; main({descriptor}, {parent})"

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""What glibc arrives at by itself once a process has freed an array of 32 MB, as workers never do: else they give the
memory of clips and pictures back after every window, and the kernel clears it anew."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkerProcess:
    """One started worker.

    Attributes:
        pid: of the process.
        connection: our end of the pipe; reading or writing more than `timeout_seconds` at a time raises an OSError.
        kill: ends it at once, also if it is stopped.
        exit_code: None while it runs; negative for a signal.
    """

    pid: int
    connection: Connection
    kill: Callable[[], None]
    exit_code: Callable[[], int | None]


def start_worker(
    setup: Setup, *, method: Method, timeout_seconds: float, siblings: Sequence[Connection]
) -> WorkerProcess:
    """Starts a worker that ends with the calling thread.

    `spawn` starts a new interpreter that imports the loader and nothing else: no thread, lock or CUDA state of this
    process comes along, and the user's script is not imported again. `fork` copies this process.

    Args:
        setup: what it is told.
        method: how to start it.
        timeout_seconds: of any single wait for the pipe.
        siblings: our ends of the pipes to other workers, which a forked one closes.
    """
    ours, theirs = Pipe()
    _limit_waits(ours, timeout_seconds)
    with _without_interrupts():
        worker = _spawn(ours, theirs) if method == "spawn" else _fork(ours, theirs, setup, siblings)
    theirs.close()  # so that the worker's death closes the pipe
    if method == "spawn":
        with suppress(OSError):  # it died at once: whoever reads from it next is told
            ours.send_bytes(ForkingPickler.dumps(setup))
    return worker


def _spawn(ours: Connection, theirs: Connection) -> WorkerProcess:
    program = BOOT.format(path=sys.path, descriptor=theirs.fileno(), parent=os.getpid())
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        pass_fds=(theirs.fileno(),),
        stdin=subprocess.DEVNULL,
        env=KEEP_MEMORY | os.environ,
    )
    return WorkerProcess(pid=process.pid, connection=ours, kill=process.kill, exit_code=process.poll)


def _fork(ours: Connection, theirs: Connection, setup: Setup, siblings: Sequence[Connection]) -> WorkerProcess:
    process = multiprocessing.get_context("fork").Process(
        target=_forked, args=(theirs, setup, (ours, *siblings), os.getpid()), daemon=True
    )
    process.start()
    assert process.pid is not None
    return WorkerProcess(pid=process.pid, connection=ours, kill=process.kill, exit_code=lambda: process.exitcode)


def _forked(connection: Connection, setup: Setup, others: Sequence[Connection], parent: int) -> None:
    end_with_parent(parent)
    for other in others:
        other.close()
    work(connection, setup)


def _limit_waits(connection: Connection, seconds: float) -> None:
    """Has the kernel end a read or write that makes no progress: a worker may be stopped amid a message."""
    limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            same.setsockopt(socket.SOL_SOCKET, option, limit)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Blocks SIGINT, in the worker for good since a mask is inherited, so that Ctrl-C reaches this process alone."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
