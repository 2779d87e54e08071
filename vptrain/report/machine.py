"""The machine and the software that a report was made with, in words."""

import os
import platform
from pathlib import Path

import psutil
import torch

from vpdata import __version__
from vpdata.pages.units import as_bytes


def describe_machine() -> str:
    """Processor, cores, memory and GPU of this machine."""
    cores = len(os.sched_getaffinity(0))
    memory = as_bytes(psutil.virtual_memory().total)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{_processor()}, {cores} cores, {memory} memory, {gpu}"


def describe_software() -> str:
    """Versions of this package, Python and torch, and the operating system."""
    system = f"{platform.system()} {platform.machine()}"
    return f"vpdata {__version__}, Python {platform.python_version()}, torch {torch.__version__}, {system}"


def _processor() -> str:
    """The processor's name; its architecture where /proc/cpuinfo names none, as on ARM."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
