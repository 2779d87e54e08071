"""Several simulators' processes, lent out one job at a time.

Enters: processes, and for each job what environment it needs. Leaves: a process with that environment.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import LifoQueue

from vpdata.simulators import EnvironmentOptions
from vpdata.simulators.process import RemoteEnvironment, start

Wanted = tuple[str, EnvironmentOptions]


class Pool:
    """Processes that each keep the environment of their last job, as making one takes seconds.

    Attributes:
        backend: what renders, a value of `MUJOCO_GL`; None before the first environment.
    """

    def __init__(self) -> None:
        self.backend: str | None = None
        self._idle: LifoQueue[tuple[RemoteEnvironment, Wanted | None]] = LifoQueue()

    def add(self, process: RemoteEnvironment) -> None:
        """Takes a process in."""
        self._idle.put((process, None))

    @contextmanager
    def lend(self, simulator: str, options: EnvironmentOptions) -> Iterator[RemoteEnvironment]:
        """A process with that environment, when one is idle; errors as in `start`."""
        process, made = self._idle.get()
        try:
            if made != (simulator, options):
                made = None  # until it is made
                process.make(simulator, options)
                made, self.backend = (simulator, options), process.backend
            yield process
        finally:
            self._idle.put((process, made))


@contextmanager
def started(workers: int, python: Path | None) -> Iterator[Pool]:
    """A pool of `workers` processes, which end with the block, whatever they are doing."""
    with ExitStack() as stack:
        pool = Pool()
        for _ in range(workers):
            pool.add(stack.enter_context(start(python)))
        yield pool
