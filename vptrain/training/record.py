"""What a run was started with, and on what: the process and its engine enter; plain values for run.json leave."""

import json
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vptrain.errors import VptrainError
from vptrain.training.engine import Engine

PACKAGES = ("vpdata", "accelerate", "av", "diffusers", "numpy", "peft", "safetensors", "torch", "transformers")


def starts(file: Path, *, step: int, engine: Engine) -> list[dict[str, Any]]:
    """The starts that a run.json has, if there is one, and this one.

    Args:
        file: the run.json.
        step: steps that were done before.
        engine: this process among those of the run.

    Raises:
        VptrainError: the run.json is damaged.
    """
    before = []
    if file.exists():
        try:
            before = json.loads(file.read_text()).get("starts", [])
        except ValueError as error:
            hint = "Remove it, then it is written anew; only the times of earlier starts are lost."
            raise VptrainError(f"it cannot be read ({error}).", path=file, hint=hint) from error
    return [*before, {"step": step, "time": datetime.now(UTC).isoformat(timespec="seconds"), **_surroundings(engine)}]


def _surroundings(engine: Engine) -> dict[str, Any]:
    on_gpu = engine.device.type == "cuda"
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "processes": engine.world_size,
        "device": torch.cuda.get_device_name(engine.device) if on_gpu else platform.processor() or platform.machine(),
        "cuda": torch.version.cuda if on_gpu else None,
        "cpu_threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }
