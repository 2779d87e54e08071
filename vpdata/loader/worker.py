"""A worker's whole life: jobs in by a pipe, frames out by shared memory, everything else out by the pipe.

This module and all that it imports stay free of torch: a worker starts in the time that its imports take.
"""

import ctypes
import os
import signal
import traceback
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError
from vpdata.loader.jobs import Answer, Attach, Job, Setup, do
from vpdata.loader.memory import map_memory
from vpdata.loader.window import Window

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(descriptor: int, parent: int) -> None:
    """Of a worker that is a new interpreter: the first thing to come through the pipe is its `Setup`."""
    end_with_parent(parent)
    connection = Connection(descriptor)
    try:
        setup: Setup = connection.recv()
    except EOFError:
        return
    work(connection, setup)


def end_with_parent(parent: int) -> None:
    """Has the kernel kill this process when the parent's thread that started it ends, be it hanging or stopped."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def work(connection: Connection, setup: Setup) -> None:
    """Does every `Job` that comes, until the pipe closes."""
    slots: dict[int, NDArray[np.uint8]] = {}
    while True:
        try:
            message: Job | Attach = connection.recv()
        except EOFError:
            return
        if isinstance(message, Attach):
            slots[message.slot] = map_memory(recv_handle(connection), message.size)
        else:
            connection.send(Answer(number=message.number, result=_result(message, setup, slots)))


def _result(job: Job, setup: Setup, slots: dict[int, NDArray[np.uint8]]) -> Window | Exception:
    try:
        window = do(job, setup, None if job.slot is None else slots[job.slot])
    except VpdataError as error:
        return error
    except Exception as error:  # a bug: it travels, with its traceback, to where the user sees it
        error.add_note(f"In a loader worker:\n{traceback.format_exc()}")
        return error
    return window if job.slot is None else window.with_frames({})
