"""Waits for windows enter; how long a run takes, and how much of it is waiting, leaves."""

import time
from collections.abc import Iterator

from vpdata.loader.batch import WindowBatch


class Clock:
    """Wall time of a run and the share of it spent waiting for data."""

    def __init__(self, seconds_before: float) -> None:
        self._before = seconds_before
        self._begin = time.monotonic()
        self._waited = 0.0
        self._windows = 0

    def waiting(self, source: Iterator[WindowBatch]) -> Iterator[WindowBatch]:
        """Passes windows on and measures the waits for them."""
        while True:
            asked = time.monotonic()
            windows = next(source, None)
            self._waited += time.monotonic() - asked
            if windows is None:
                return
            yield windows

    def count(self, windows: int) -> None:
        """Notes trained windows."""
        self._windows += windows

    @property
    def _elapsed(self) -> float:
        return max(time.monotonic() - self._begin, 1e-9)

    @property
    def windows_per_second(self) -> float:
        """Since this process began to train."""
        return self._windows / self._elapsed

    @property
    def data_wait_share(self) -> float:
        """Since this process began to train."""
        return self._waited / self._elapsed

    def values(self) -> dict[str, float]:
        """For the metrics log."""
        return {
            "seconds": self._before + self._elapsed,
            "windows_per_second": self.windows_per_second,
            "data_wait_share": self.data_wait_share,
        }
