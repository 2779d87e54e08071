"""Jobs in, their results out, by worker processes that hold no lock in common: any may die or hang at any moment.

A thread hands out jobs in order, to whichever worker is free, and notices workers that died or do not answer. Such a
worker is killed and replaced, and its jobs are done again.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import send_handle

from vpdata.errors import LoaderError
from vpdata.loader.jobs import Answer, Attach, Job, Setup
from vpdata.loader.memory import SlotMemory
from vpdata.loader.process import Method, WorkerProcess, start_worker
from vpdata.loader.window import Window

DEPTH = 2
"""Jobs that a worker has at a time: the one that it does, and the next, so that it need not wait for this process."""
DEADLY = 3
"""Workers that one window may end before it is given up."""

PATIENCE_SECONDS = 1.0
"""How long to wait for the exit code of a worker that was killed or closed its pipe."""

_LOG = logging.getLogger(__name__)

Task = tuple[Job, SlotMemory | None]


@dataclass(slots=True, kw_only=True, eq=False)
class _Worker:
    """A worker, the jobs that it has not answered, and since when it owes an answer to the first of them."""

    process: WorkerProcess
    tasks: deque[Task] = field(default_factory=deque)
    since: float = field(default_factory=time.monotonic)
    memories: dict[int, int] = field(default_factory=dict)


class Pool:
    """Does jobs; see the module."""

    def __init__(self, setup: Setup, *, num_workers: int, timeout_seconds: float, method: Method) -> None:
        """Starts the workers.

        Args:
            setup: what all workers are told.
            num_workers: at least 1.
            timeout_seconds: a worker that owes an answer for so long hangs.
            method: see `start_worker`.
        """
        self._setup, self._num_workers = setup, num_workers
        self._timeout, self._method = timeout_seconds, method
        self._waiting: deque[Task] = deque()
        self._results: dict[int, Window | Exception] = {}
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._wake_out, self._wake_in = Pipe(duplex=False)
        self._workers: list[_Worker] = []  # from here on only the thread touches these
        self._ending: list[WorkerProcess] = []
        self._deaths: Counter[int] = Counter()
        self._thread = threading.Thread(target=self._run, name="vpdata loader", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[Job], memory: SlotMemory | None, *, first: bool = False) -> None:
        """Adds jobs whose slot has that memory; with `first`, before those that wait already."""
        tasks = [(job, memory) for job in jobs]
        self._waiting.extendleft(reversed(tasks)) if first else self._waiting.extend(tasks)
        self._wake_in.send_bytes(b"")

    def take(self, job: Job) -> Window | Exception:
        """Waits for a submitted job; its window, or why there is none."""
        with self._changed:
            while job.number not in self._results:
                if self._failure is not None:
                    raise RuntimeError("the loader's thread failed") from self._failure
                if self._closing:
                    raise RuntimeError("the loader was closed while it was waited for")
                self._changed.wait()
            return self._results.pop(job.number)

    def pids(self) -> tuple[int, ...]:
        """The processes of the workers."""
        return tuple(worker.process.pid for worker in list(self._workers))

    def close(self) -> None:
        """Ends all workers; what they were doing is lost."""
        if not self._closing:
            self._closing = True
            self._wake_in.send_bytes(b"")
            if threading.current_thread() is not self._thread:  # which may collect the garbage that closes this
                self._thread.join()

    def _run(self) -> None:
        try:
            for _ in range(self._num_workers):
                self._start()
            while not self._closing:
                self._hand_out()
                self._receive_all()
                self._end_the_hanging()
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self._end_all()
            with self._changed:
                self._changed.notify_all()

    def _start(self) -> None:
        siblings = [worker.process.connection for worker in self._workers]
        process = start_worker(self._setup, method=self._method, timeout_seconds=self._timeout, siblings=siblings)
        self._workers.append(_Worker(process=process))

    def _hand_out(self) -> None:
        """Gives waiting jobs to the workers that have the fewest, none more than `DEPTH`."""
        while self._waiting:
            if len(self._workers) < self._num_workers:
                self._start()
            worker = min(self._workers, key=lambda worker: len(worker.tasks))
            if len(worker.tasks) >= DEPTH:
                return
            task = self._waiting.popleft()
            if not worker.tasks:
                worker.since = time.monotonic()
            worker.tasks.append(task)
            try:
                self._send(worker, *task)
            except OSError as error:
                self._replace(worker, hangs=isinstance(error, BlockingIOError))

    def _send(self, worker: _Worker, job: Job, memory: SlotMemory | None) -> None:
        connection = worker.process.connection
        if job.slot is not None and memory is not None and worker.memories.get(job.slot) != memory.number:
            connection.send(Attach(slot=job.slot, number=memory.number, size=memory.size))
            send_handle(connection, memory.descriptor, worker.process.pid)
            worker.memories[job.slot] = memory.number
        connection.send(job)

    def _receive_all(self) -> None:
        """Waits until a worker answers, a job is submitted, or a worker's time is over."""
        now = time.monotonic()
        ends = [worker.since + self._timeout - now for worker in self._workers if worker.tasks]
        connections = [worker.process.connection for worker in self._workers]
        patience = max(0.0, min(ends)) if ends else None
        ready: list[Connection] = wait([*connections, self._wake_out], timeout=patience)  # type: ignore[assignment]
        if self._wake_out in ready:
            self._wake_out.recv_bytes()
        for worker in [worker for worker in self._workers if worker.process.connection in ready]:
            try:
                answer: Answer = worker.process.connection.recv()
            except (EOFError, OSError) as error:
                self._replace(worker, hangs=isinstance(error, BlockingIOError))
                continue
            job, _ = worker.tasks.popleft()
            assert job.number == answer.number
            worker.since = time.monotonic()
            self._deaths.pop(job.number, None)
            self._finish(job, answer.result)

    def _finish(self, job: Job, result: Window | Exception) -> None:
        with self._changed:
            self._results[job.number] = result
            self._changed.notify_all()

    def _end_the_hanging(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            late = worker.tasks and now - worker.since >= self._timeout
            if late and not worker.process.connection.poll():
                self._replace(worker, hangs=True)

    def _replace(self, worker: _Worker, *, hangs: bool) -> None:
        """Ends a worker that died or hangs. Its first job is to blame; that and the others wait again, in order."""
        ended = f"did not answer for {self._timeout:g} s" if hangs else _how_it_ended(worker.process)
        self._end(worker)
        if not worker.tasks:
            return  # another is started when there is something to do
        job, _ = worker.tasks[0]
        where = f"position {job.position} (clip {job.clip.key} of {job.source})"
        self._deaths[job.number] += 1
        if self._deaths[job.number] < DEADLY:
            _LOG.warning("A loader worker %s at %s; another one loads it again.", ended, where)
        else:
            worker.tasks.popleft()
            del self._deaths[job.number]
            self._finish(job, _given_up(job, ended))
        self._waiting.extendleft(reversed(worker.tasks))

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.connection.close()
        self._ending.append(worker.process)
        self._reap()

    def _reap(self) -> None:
        """Forgets killed processes that are gone. One that hangs inside the kernel goes later, and holds up nobody."""
        self._ending = [process for process in self._ending if process.exit_code() is None]

    def _end_all(self) -> None:
        for worker in list(self._workers):
            self._end(worker)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._ending and time.monotonic() < deadline:
            time.sleep(0.005)
            self._reap()


def _how_it_ended(process: WorkerProcess) -> str:
    """Of a worker whose pipe is closed: it is gone, or about to be."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (code := process.exit_code()) is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if code is None:
        return "closed its pipe"
    return f"was killed (signal {-code})" if code < 0 else f"ended with exit code {code}"


def _given_up(job: Job, ended: str) -> LoaderError:
    return LoaderError(
        f"the window at position {job.position} ended {DEADLY} loader workers; the last one {ended}.",
        path=f"{job.source}/{job.clip.shard}",
        episode=job.clip.key,
        hint=f"Memory may have run out, or reading hangs. Use fewer workers, and resume at position {job.position}.",
    )
