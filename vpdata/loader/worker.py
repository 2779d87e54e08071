"""A worker's whole life: jobs in by a pipe, frames out by shared memory, everything else out by the pipe.

This module and all that it imports stay free of torch: a worker starts in the time that its imports take.
"""

import ctypes
import gc
import os
import signal
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError
from vpdata.loader.jobs import Answer, Attach, Job, Setup, do
from vpdata.loader.memory import map_memory
from vpdata.loader.window import WindowArrays
from vpdata.loader.wire import answers_to_bytes, message_from

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
    """Does the jobs that come, a few at a time, until the pipe closes."""
    slots: dict[int, NDArray[np.uint8]] = {}
    gc.freeze()  # what is imported stays: the collector need not go through it again and again
    while True:
        try:
            message = message_from(connection.recv_bytes())
        except EOFError:
            return
        if isinstance(message, Attach):
            slots[message.slot] = map_memory(recv_handle(connection), message.size)
        else:
            answers = [Answer(number=job.number, result=_result(job, setup, slots)) for job in message]
            connection.send_bytes(answers_to_bytes(answers))


def _result(job: Job, setup: Setup, slots: dict[int, NDArray[np.uint8]]) -> WindowArrays | Exception:
    try:
        arrays = do(job, setup, None if job.slot is None else slots[job.slot])
    except VpdataError as error:
        return error
    except Exception as error:  # a bug: it travels, with its traceback, to where the user sees it
        error.add_note(f"In a loader worker:\n{traceback.format_exc()}")
        return error
    return arrays if job.slot is None else replace(arrays, frames={})
