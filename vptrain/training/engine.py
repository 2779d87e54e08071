"""Devices and processes: a module and an optimizer enter, and leave spread over them.

The same code runs on a CPU, one GPU, eight, or several nodes: processes come from `torchrun` (or `accelerate launch`),
Accelerate joins them, and weights are replicated (DDP) or sharded (FSDP2).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from vptrain.config import RunConfig
from vptrain.device import usable_device
from vptrain.errors import VptrainError
from vptrain.training.step import StageLosses

TIMEOUT = timedelta(minutes=30)
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
PREFIX = "policy."


@dataclass(slots=True)
class Engine:
    """This process among those of a run.

    Attributes:
        device: where its part of the model is.
        rank, world_size: its number, and how many there are.
    """

    device: torch.device
    rank: int
    world_size: int
    _accelerator: Accelerator
    _scaler: torch.amp.GradScaler
    _sharded: bool

    @classmethod
    def start(cls, run: RunConfig, *, device: str) -> "Engine":
        """Joins the other processes, if there are any.

        Args:
            run: its stage, precision and sharding count.
            device: `cpu`; `cuda`, a GPU a process; or one GPU, as `cuda:1`.

        Raises:
            VptrainError: there is no such device, or the batch cannot be shared equally.
        """
        wanted = torch.device(usable_device(device))
        if wanted.index is not None and wanted.type == "cuda":
            torch.cuda.set_device(wanted)
        accelerator = Accelerator(
            cpu=wanted.type == "cpu",
            mixed_precision="no",  # whatever `accelerate launch` is configured to: the run says it
            kwargs_handlers=[
                # which camera towers a batch uses depends on its cameras
                DistributedDataParallelKwargs(find_unused_parameters=run.stage != "stage1"),
                InitProcessGroupKwargs(timeout=TIMEOUT),
            ],
        )
        world_size = accelerator.num_processes
        if run.batch_size % world_size:
            raise VptrainError(
                f"{run.batch_size} windows a step cannot be shared equally by {world_size} processes.",
                hint="Choose another --batch-size or number of processes.",
            )
        if accelerator.device.type == "cuda":
            torch.backends.cudnn.benchmark = run.compile  # which promises few shapes
        return cls(
            device=accelerator.device,
            rank=accelerator.process_index,
            world_size=world_size,
            _accelerator=accelerator,
            _scaler=torch.amp.GradScaler(wanted.type, enabled=run.precision == "fp16"),
            _sharded=run.sharding == "full" and world_size > 1,
        )

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def spread(self, losses: StageLosses) -> nn.Module:
        """The module, replicated or sharded over the processes; its parameters may be other objects afterwards."""
        if self._sharded:
            ignored = set(losses.policy.autoencoder.parameters())
            for block in losses.policy.unet.blocks():
                fully_shard(block)
            fully_shard(losses, ignored_params=ignored)
            return losses
        if self.world_size == 1:
            return losses
        prepared: nn.Module = self._accelerator.prepare_model(losses)
        return prepared

    @contextmanager
    def gradients(self, module: nn.Module, *, is_last: bool) -> Iterator[None]:
        """Around a forward and backward pass: gradients are exchanged after the last one of a step only."""
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(is_last)
            yield
            return
        if isinstance(module, DistributedDataParallel) and not is_last:
            with module.no_sync():
                yield
            return
        yield

    def backward(self, loss: Tensor) -> None:
        """The gradient of this process's share of the mean loss: DDP and FSDP take the mean over processes."""
        self._scaler.scale(loss * self.world_size).backward()  # type: ignore[no-untyped-call]

    def step(
        self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], *, clip_norm: float | None
    ) -> float:
        """Clips and applies the gradients; their norm before clipping.

        Where it is not finite no weight moves. In fp16 that happens while the scale of the loss is being found.
        """
        self._scaler.unscale_(optimizer)
        total = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        norm = float(total.full_tensor() if isinstance(total, DTensor) else total)
        if not self._scaler.is_enabled() and not math.isfinite(norm):
            return norm
        if clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, clip_norm, total)
        self._scaler.step(optimizer)
        self._scaler.update()
        return norm

    def sum(self, *values: float) -> tuple[float, ...]:
        """Each value, added up over all processes."""
        if self.world_size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return tuple(total.tolist())

    def num_passes(self, count: int) -> int:
        """How often a process with `count` batches passes some through the module: where it is sharded, all as often.

        Every pass gathers the weights from all processes, and these may have different numbers of camera layouts.
        """
        if not self._sharded:
            return count
        most = torch.tensor(count, device=self.device)
        torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
        return int(most)

    def is_loss_of_process(self, error: RuntimeError) -> bool:
        """Whether an error says that another process does not answer any more."""
        named = any(name in str(error) for name in ("gloo", "NCCL", "Connection closed by peer", "Connection reset"))
        return self.world_size > 1 and (isinstance(error, torch.distributed.DistError) or named)

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    def policy_state(self, module: nn.Module) -> dict[str, Tensor]:
        """All of the policy's tensors by name, whole, on the CPU; empty but in the main process."""
        if not self._sharded and not self.is_main:
            return {}
        state = cast(dict[str, Tensor], get_model_state_dict(module, options=_WHOLE))
        shared = self.device.type == "cpu"  # then a tensor of the state may be the weight itself
        return {name.removeprefix(PREFIX): tensor.clone() if shared else tensor for name, tensor in state.items()}

    def load_weights(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Sets those of the policy's tensors that are given, by name, whole, in every process."""
        state: dict[str, Any] = {PREFIX + name: tensor for name, tensor in weights.items()}
        set_model_state_dict(module, state, options=StateDictOptions(full_state_dict=True, strict=False))

    def optimizer_state(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The optimizer's state by parameter name, whole, on the CPU; empty but in the main process."""
        if not self._sharded and not self.is_main:
            return {}
        state = get_optimizer_state_dict(module, optimizer, options=_WHOLE)
        return {"optimizer": state, "scaler": self._scaler.state_dict()}

    def load_optimizer_state(self, module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """The inverse of `optimizer_state`, for any number of processes."""
        whole = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(module, optimizer, state["optimizer"], options=whole)
        for group in optimizer.param_groups:
            group["betas"] = tuple(group["betas"])  # which the loading makes a list
        self._scaler.load_state_dict(state["scaler"])

    def end(self) -> None:
        """Leaves the other processes."""
        self._accelerator.end_training()
