"""A running process in, the peak memory of its whole tree out."""

import threading
from types import TracebackType
from typing import Self

import psutil

INTERVAL_SECONDS = 0.5


class PeakMemory:
    """Samples a process and its descendants until left: `with PeakMemory(pid) as peak: …; peak.num_bytes`.

    Counted is the proportional set size, in which pages that n processes share count 1/n for each.
    """

    def __init__(self, pid: int) -> None:
        self.num_bytes = 0
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            try:
                tree = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.num_bytes = max(self.num_bytes, sum(_pss(process) for process in tree))
            self._stop.wait(INTERVAL_SECONDS)


def _pss(process: psutil.Process) -> int:
    """Bytes; 0 for a process that has just ended."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
