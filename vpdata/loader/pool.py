"""Jobs in, their results out, by worker processes that hold no lock in common: any may die or hang at any moment.

A thread hands out jobs in order, a few at a time, to whichever worker is free, and notices workers that died or do not
answer. Such a worker is killed and replaced, and its jobs are done again; those that it had begun one by one, so that
it becomes clear which is to blame.
"""

import logging
import math
import select
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Pipe
from multiprocessing.reduction import send_handle

from vpdata.errors import LoaderError
from vpdata.loader.jobs import Answer, Attach, Job, Setup
from vpdata.loader.memory import SlotMemory
from vpdata.loader.process import Method, WorkerProcess, start_worker
from vpdata.loader.window import WindowArrays
from vpdata.loader.wire import answers_from, jobs_to_bytes

DEPTH = 2
"""Tasks that a worker has at a time: the one that it does, and the next, so that it need not wait for this process."""
MAX_JOBS = 4
"""Of a task. What is sent, what wakes up for it and all that has left the caches meanwhile costs once a task."""
DEADLY = 3
"""Workers that one window may end before it is given up."""

PATIENCE_SECONDS = 1.0
"""How long to wait for the exit code of a worker that was killed or closed its pipe."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    """Jobs that a worker is told and answers together, and the memory of their slot."""

    jobs: tuple[Job, ...]
    memory: SlotMemory | None


@dataclass(slots=True, kw_only=True, eq=False)
class _Worker:
    """A worker, the tasks that it has not answered, and since when it owes an answer to the first of them."""

    process: WorkerProcess
    tasks: deque[_Task] = field(default_factory=deque)
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
        self._waiting: deque[_Task] = deque()
        self._results: dict[int, WindowArrays | Exception] = {}
        self._awaited: set[int] = set()
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._wake_out, self._wake_in = Pipe(duplex=False)
        self._poll = select.poll()
        self._poll.register(self._wake_out, select.POLLIN)
        self._workers: list[_Worker] = []  # from here on only the thread touches these
        self._ending: list[WorkerProcess] = []
        self._deaths: Counter[int] = Counter()
        self._thread = threading.Thread(target=self._run, name="vpdata loader", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[Job], memory: SlotMemory | None, *, first: bool = False) -> None:
        """Adds jobs whose slot has that memory; with `first`, before those that wait already."""
        most = max(1, min(MAX_JOBS, len(jobs) // self._num_workers))
        tasks = [_Task(jobs=tuple(jobs[i : i + most]), memory=memory) for i in range(0, len(jobs), most)]
        self._waiting.extendleft(reversed(tasks)) if first else self._waiting.extend(tasks)
        self._wake_in.send_bytes(b"")

    def take(self, jobs: Sequence[Job]) -> list[WindowArrays | Exception]:
        """Waits until all these submitted jobs are done; what each has loaded, or why it has not."""
        with self._changed:
            self._awaited = {job.number for job in jobs}.difference(self._results)
            while self._awaited:
                if self._failure is not None:
                    raise RuntimeError("the loader's thread failed") from self._failure
                if self._closing:
                    raise RuntimeError("the loader was closed while it was waited for")
                self._changed.wait()
            return [self._results.pop(job.number) for job in jobs]

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
        self._poll.register(process.connection, select.POLLIN)
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
                self._send(worker, task)
            except OSError as error:
                self._replace(worker, hangs=isinstance(error, BlockingIOError))

    def _send(self, worker: _Worker, task: _Task) -> None:
        connection, memory, slot = worker.process.connection, task.memory, task.jobs[0].slot
        if slot is not None and memory is not None and worker.memories.get(slot) != memory.number:
            connection.send(Attach(slot=slot, number=memory.number, size=memory.size))
            send_handle(connection, memory.descriptor, worker.process.pid)
            worker.memories[slot] = memory.number
        connection.send_bytes(jobs_to_bytes(task.jobs))

    def _receive_all(self) -> None:
        """Waits until a worker answers, a job is submitted, or a worker's time is over."""
        now = time.monotonic()
        ends = [worker.since + self._timeout - now for worker in self._workers if worker.tasks]
        patience_ms = math.ceil(1000 * max(0.0, min(ends))) if ends else None
        ready = {descriptor for descriptor, _ in self._poll.poll(patience_ms)}
        if self._wake_out.fileno() in ready:
            self._wake_out.recv_bytes()
        for worker in [worker for worker in self._workers if worker.process.connection.fileno() in ready]:
            try:
                answers = answers_from(worker.process.connection.recv_bytes())
            except (EOFError, OSError) as error:
                self._replace(worker, hangs=isinstance(error, BlockingIOError))
                continue
            numbers = [job.number for job in worker.tasks.popleft().jobs]
            assert numbers == [answer.number for answer in answers]
            worker.since = time.monotonic()
            for number in numbers:
                self._deaths.pop(number, None)
            self._finish(answers)

    def _finish(self, answers: Sequence[Answer]) -> None:
        with self._changed:
            self._results.update((answer.number, answer.result) for answer in answers)
            if self._awaited:
                self._awaited.difference_update(answer.number for answer in answers)
                if not self._awaited:
                    self._changed.notify_all()

    def _end_the_hanging(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            late = worker.tasks and now - worker.since >= self._timeout
            if late and not worker.process.connection.poll():
                self._replace(worker, hangs=True)

    def _replace(self, worker: _Worker, *, hangs: bool) -> None:
        """Ends a worker that died or hangs. One of its first task's jobs is to blame; all wait again, in order."""
        ended = f"did not answer for {self._timeout:g} s" if hangs else _how_it_ended(worker.process)
        self._end(worker)
        if not worker.tasks:
            return  # another is started when there is something to do
        task = worker.tasks.popleft()
        again = deque(_Task(jobs=(job,), memory=task.memory) for job in task.jobs)
        self._deaths.update(job.number for job in task.jobs)
        job = task.jobs[0]
        if self._deaths[job.number] < DEADLY:
            where = f"position {job.position} (clip {job.clip.key} of {job.source})"
            following = f" or the {len(task.jobs) - 1} after it" if len(task.jobs) > 1 else ""
            _LOG.warning("A loader worker %s at %s%s; another one loads again.", ended, where, following)
        else:
            again.popleft()
            del self._deaths[job.number]
            self._finish([Answer(number=job.number, result=_given_up(job, ended))])
        self._waiting.extendleft(reversed(worker.tasks))
        self._waiting.extendleft(reversed(again))

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.kill()
        self._poll.unregister(worker.process.connection)
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
