"""Tasks in, their outcomes out, by worker processes that hold no lock in common: any of them may die at any moment."""

import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

from vpdata.errors import VpdataError
from vpdata.ingest.worker import Outcome, Task, work


def run(tasks: Sequence[Task], *, workers: int, progress: Callable[[int], object]) -> list[Outcome]:
    """The outcome of every task, in order.

    The first error ends all workers at once, and so does a failed episode in a task that does not keep going; what they
    were writing never gets a final name.

    Raises:
        VpdataError: what a worker raised, or a worker that was killed.
        RuntimeError: a worker crashed; its traceback is on stderr.
    """
    outcomes: dict[int, Outcome] = {}
    waiting = deque(enumerate(tasks))
    busy: dict[Connection, int] = {}
    processes: dict[Connection, SpawnProcess] = {}
    try:
        for _ in range(min(workers, len(tasks))):
            connection, process = _start()
            processes[connection] = process
            busy[connection] = _send_next(connection, waiting)
        while busy:
            for ready in wait(list(busy)):
                connection = cast(Connection, ready)
                message = _receive(connection, processes[connection], tasks[0])
                if isinstance(message, int):
                    progress(message)
                    continue
                outcomes[busy.pop(connection)] = message
                if waiting:
                    busy[connection] = _send_next(connection, waiting)
    finally:
        for process in processes.values():
            process.kill()
        for process in processes.values():
            process.join()
    return [outcomes[number] for number in range(len(tasks))]


def _start() -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), daemon=True)
    # Blocked in the worker for good (a mask is inherited), so that Ctrl-C reaches this process alone and not half-way.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    theirs.close()  # so that the worker's death closes the pipe
    return ours, process


def _send_next(connection: Connection, waiting: deque[tuple[int, Task]]) -> int:
    number, task = waiting.popleft()
    with suppress(ConnectionError):  # the worker was killed: `_receive` tells how
        connection.send(task)
    return number


def _receive(connection: Connection, process: SpawnProcess, task: Task) -> Outcome | int:
    try:
        message: Outcome | VpdataError | int = connection.recv()
    except (EOFError, ConnectionError):
        process.join()
        if process.exitcode is not None and process.exitcode < 0:
            what = f"a worker process was killed (signal {-process.exitcode}), most likely because memory ran out."
            raise VpdataError(what, path=task.out, hint="Use fewer --workers.") from None
        raise RuntimeError("a worker process crashed; its traceback is above") from None
    if isinstance(message, VpdataError):
        raise message
    if isinstance(message, Outcome) and message.failures and not task.keep_going:
        raise message.failures[0].error
    return message
