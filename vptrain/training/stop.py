"""Signals that ask a run to end: it finishes its step, writes a checkpoint and can be resumed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stop:
    """Whether one of the signals came: SIGTERM and SIGUSR1 as Slurm sends them before it ends a job, SIGINT as Ctrl-C.

    Another Ctrl-C ends the process at once.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def asked(self) -> bool:
        """Whether to stop."""
        return self.signal is not None

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        if self.signal is signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Catches the signals inside; what handled them before does so again afterwards."""
    stop = Stop()
    before = {number: signal.signal(number, stop._note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
