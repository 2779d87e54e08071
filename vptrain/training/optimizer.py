"""What a stage trains and how its weights move: a policy and a run enter; an optimizer, rates and an average leave."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.lora import is_adapter
from vptrain.models.policy import VideoPolicy


def freeze(policy: VideoPolicy, run: RunConfig) -> None:
    """Leaves only what the stage trains with gradients."""
    policy.requires_grad_(False)
    if run.stage != "stage2":
        for name, parameter in policy.unet.named_parameters():
            parameter.requires_grad_(run.lora_rank is None or is_adapter(name))
    if run.stage != "stage1":
        policy.encoder.requires_grad_(True)
        policy.head.requires_grad_(True)


def make_optimizer(module: nn.Module, run: RunConfig) -> torch.optim.Optimizer:
    """The run's optimizer over all parameters with gradients.

    A group's `factor` is that by which its rate differs from the run's, as encoder's and head's does in joint training.

    Raises:
        VptrainError: it needs a package that is not installed.
    """
    unet, heads = list[nn.Parameter](), list[nn.Parameter]()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (unet if ".unet." in f".{name}" else heads).append(parameter)
    factor = run.head_rate_factor if run.stage == "joint" else 1.0
    groups = [{"params": unet, "factor": 1.0}, {"params": heads, "factor": factor}]
    groups = [group for group in groups if group["params"]]
    arguments = {
        "lr": run.learning_rate,
        "betas": tuple(run.betas),
        "eps": run.epsilon,
        "weight_decay": run.weight_decay,
    }
    if run.optimizer == "adamw8bit":
        return _eight_bit(groups, arguments)
    kind = torch.optim.Adam if run.optimizer == "adam" else torch.optim.AdamW
    on_gpu = any(parameter.is_cuda for parameter in [*unet, *heads])
    return kind(groups, **arguments, fused=True if on_gpu else None)  # type: ignore[arg-type]


def _eight_bit(groups: list[dict[str, object]], arguments: dict[str, object]) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise VptrainError(
            f"optimizer adamw8bit needs bitsandbytes ({error}).", hint="Install it: pip install 'vpdata[eightbit]'"
        ) from error
    optimizer: torch.optim.Optimizer = AdamW8bit(groups, **arguments)
    return optimizer


def rate_factor(run: RunConfig, step: int) -> float:
    """By what the learning rate of the update that makes step + 1 differs from the run's, in [0, 1]."""
    if step < run.warmup_steps:
        return (step + 1) / run.warmup_steps
    done = (step - run.warmup_steps) / max(1, run.steps - run.warmup_steps)
    left = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[run.schedule]
    return run.final_rate_factor + (1 - run.final_rate_factor) * left


class Average:
    """The exponential moving average of trained weights: average += (1 - decay) · (weight - average).

    The decay of update n is at most (1 + n) / (10 + n), so that a short run is not one of its first weights.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, decay: float, updates: int = 0) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._average: list[Tensor] = [parameter.detach().clone() for parameter in self._parameters]
        self._decay = decay
        self._updates = updates

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights after an optimizer's step in."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        torch._foreach_lerp_(self._average, [p.detach() for p in self._parameters], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges weights and averages; a second call puts them back."""
        for parameter, average in zip(self._parameters, self._average, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
