"""Memory that workers write frames to and the loader's process reads them from, without a copy in between."""

import itertools
import mmap
import os
import weakref

import numpy as np
from numpy.typing import NDArray

_NUMBERS = itertools.count()


class SlotMemory:
    """An anonymous file mapped by several processes. It has no name, and is gone when the last of them ends.

    Attributes:
        number: of this memory, never used twice in a process.
        size: in bytes.
        descriptor: for other processes to map.
        array: (size,) uint8; arrays cut from it keep the memory alive.
    """

    def __init__(self, size: int, *, pin: bool) -> None:
        """Takes zeroed memory of `size` > 0 bytes.

        Args:
            pin: page-lock it, so that CUDA copies from it while the CPU goes on.

        Raises:
            RuntimeError: CUDA cannot page-lock it.
        """
        self.number = next(_NUMBERS)
        self.size = size
        self.descriptor = os.memfd_create("vpdata-loader", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor)
        os.ftruncate(self.descriptor, size)
        mapped = mmap.mmap(self.descriptor, size)
        mapped.madvise(mmap.MADV_DONTFORK)  # a forked worker maps what it needs, and must not hold on to the rest
        self.array: NDArray[np.uint8] = np.frombuffer(mapped, np.uint8)
        if pin:
            import torch  # here, because workers import this package and have no use for it

            runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
            address = self.array.ctypes.data
            torch.cuda.check_error(runtime.cudaHostRegister(address, size, 0))
            weakref.finalize(self, runtime.cudaHostUnregister, address)


def map_memory(descriptor: int, size: int) -> NDArray[np.uint8]:
    """(size,) uint8: another process's memory. Closes the descriptor."""
    try:
        return np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
    finally:
        os.close(descriptor)
