"""The name of a device that a user gave, or none, enters; the name of one that torch can use here leaves."""

import torch

from vptrain.errors import VptrainError


def usable_device(name: str | None = None) -> str:
    """The device of that name; without one a GPU where there is one, else `cpu`.

    Raises:
        VptrainError: there is no such device.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        return "cuda" if num_gpus else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise VptrainError(f"there is no device {name!r}.", hint="Say --device cpu, cuda, or one GPU as cuda:1.")
    if device.type == "cuda" and not num_gpus:
        raise VptrainError("there is no GPU that torch can use.", hint="Say --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise VptrainError(f"there is no {name}: torch sees {num_gpus} GPUs, the first of which is cuda:0.")
    return name
