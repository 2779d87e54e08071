"""What a stage needs on one device: a model and a run enter; bytes leave, without a weight ever being made.

Weights, gradients, optimizer and average are counted. Activations are measured: a batch of the run's goes forward and
backward through the real code on tensors that have a shape and no content (torch's fake tensors), while every
allocation is followed. Norms compute in float32 there, as they do on a GPU. Not in it: what kernels and libraries take
for themselves, memory that the allocator holds back, and what `compile` saves.
"""

import math
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vpdata import spaces
from vptrain.batch import Batch, Latents
from vptrain.checkpoint import training_policy
from vptrain.config import ModelConfig, RunConfig
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.training.optimizer import freeze
from vptrain.training.step import Features, StageLosses

PARTS = ("unet", "encoder", "head", "autoencoder")
_FLOAT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSize:
    """Parameters of a part of the policy, and how many of them the stage trains."""

    name: str
    parameters: int
    trained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes on each device.

    Attributes:
        parts: what the policy consists of.
        weights: of all parts, float32.
        gradients, optimizer, average: of what is trained; none where there is no average.
        exchange: DDP's buckets of gradients, or what FSDP2 gathers of other devices' weights at a time.
        features: of the frozen UNet that stage 2 keeps of a block of batches.
        activations: what else lives at the worst moment of a forward and backward pass.
        checkpoint: of a checkpoint, on disk.
    """

    parts: tuple[PartSize, ...]
    weights: int
    gradients: int
    optimizer: int
    average: int
    exchange: int
    features: int
    activations: int
    checkpoint: int

    @property
    def total(self) -> int:
        """All that is on the device."""
        return (
            self.weights
            + self.gradients
            + self.optimizer
            + self.average
            + self.exchange
            + self.features
            + self.activations
        )


def footprint(
    model: ModelConfig, run: RunConfig, *, layout: Sequence[str], windows: int, num_kept: int, processes: int = 1
) -> Footprint:
    """What one of so many processes needs.

    Args:
        model: what to train.
        run: how.
        layout: the cameras of the largest batches.
        windows: in a batch at a time.
        num_kept: windows whose features stage 2 keeps.
        processes: that share weights or gradients as the run's `sharding` says.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
        policy = _policy(model, run)
        parts = tuple(_part(policy, name) for name in PARTS)
        trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
        weights = _FLOAT * sum(parameter.numel() for parameter in policy.parameters())
        gradients = _FLOAT * sum(parameter.numel() for parameter in trained)
        states = optimizer_bytes((parameter.numel() for parameter in trained), run)
        average = gradients if run.ema_decay is not None else 0
        activations, features = _measure(policy, run, live, layout=layout, windows=windows)
        sharded = run.sharding == "full" and processes > 1
        exchange = _gathered(policy) if sharded else gradients if processes > 1 else 0
        whole = _FLOAT * sum(parameter.numel() for parameter in policy.autoencoder.parameters())
    share = processes if sharded else 1
    return Footprint(
        parts=parts,
        weights=whole + (weights - whole) // share,
        gradients=gradients // share,
        optimizer=states // share,
        average=average // share,
        exchange=exchange,
        features=features * num_kept // windows,
        activations=activations,
        checkpoint=weights + states + average,
    )


def optimizer_bytes(sizes: Iterable[int], run: RunConfig) -> int:
    """Of two moments a weight: float32; or 8 bits, and a float32 each 256, of tensors of 4,096 values and more."""
    if run.optimizer != "adamw8bit":
        return sum(2 * _FLOAT * size + _FLOAT for size in sizes)
    return sum(2 * (size + _FLOAT * math.ceil(size / 256)) if size >= 4096 else 2 * _FLOAT * size for size in sizes)


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the tensors that operations make: the bytes that are alive now, and at most so far."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See `TorchDispatchMode`."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.untyped_storage() not in self._known:
                self._add(tensor.untyped_storage())
        self.peak = max(self.peak, self.now)
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        num_bytes = storage.nbytes()
        self._known.add(storage)
        self.now += num_bytes
        weakref.finalize(storage, self._remove, num_bytes)

    def _remove(self, num_bytes: int) -> None:
        self.now -= num_bytes

    @contextmanager
    def above(self) -> Iterator[list[int]]:
        """Yields a list that holds, afterwards, the most that was alive inside beyond what was alive before."""
        before, self.peak = self.now, self.now
        found: list[int] = []
        yield found
        found.append(self.peak - before)


def example_batch(
    model: ModelConfig, *, layout: Sequence[str], windows: int, labelled: bool, latents: bool = False, seed: int = 0
) -> Batch:
    """A batch of noise as large as the model's windows: pictures, or latents of them."""
    generator = torch.Generator().manual_seed(seed)
    size, frames = model.image_size, model.num_frames
    actions = torch.randn(windows, model.horizon, spaces.load(model.action_space).size, generator=generator)
    shown = (windows, len(layout), frames)
    pictures = torch.randint(0, 256, (*shown, size, size, 3), dtype=torch.uint8, generator=generator)
    numbers = torch.randn(*shown, 3, *model.latent_shape(1)[1:], generator=generator)
    return Batch(
        layout=tuple(layout),
        frames_BVFHWC=None if latents else pictures,
        latents=Latents.of(numbers) if latents else None,
        frame_mask_BF=torch.ones(windows, frames, dtype=torch.bool),
        instructions=("",) * windows,
        keys=tuple(range(windows)),
        actions_BAD=actions if labelled else None,
        action_mask_BA=torch.ones(windows, model.horizon, dtype=torch.bool),
    )


class NoText:
    """Zeros in the place of every instruction's embedding."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, instructions: Sequence[str]) -> Tensor:
        """(len(instructions), dim), float32."""
        return torch.zeros(len(instructions), self.dim)


def _policy(model: ModelConfig, run: RunConfig) -> VideoPolicy:
    """With fake tensors for weights; built on torch's meta device, since adapters cannot be put beside fake ones."""
    with unset_fake_temporarily(), torch.device("meta"):
        policy = training_policy(VideoPolicy(model), run)
    for module in policy.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape)))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    freeze(policy, run)
    if run.activation_checkpointing:
        policy.unet.checkpoint_activations()
    if run.precision != "fp32":
        for module in policy.modules():
            if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                module.register_forward_pre_hook(_to_float32)
    return policy


def _to_float32(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.float() for tensor in inputs)


def _part(policy: VideoPolicy, name: str) -> PartSize:
    parameters = list(getattr(policy, name).parameters())
    return PartSize(
        name=name,
        parameters=sum(parameter.numel() for parameter in parameters),
        trained=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    )


def _measure(
    policy: VideoPolicy, run: RunConfig, live: LiveBytes, *, layout: Sequence[str], windows: int
) -> tuple[int, int]:
    """Bytes of activations at the worst moment, and of the features of a batch."""
    losses = StageLosses(policy, text=CachedText(NoText(policy.config.text.dim)), run=run)
    batch = example_batch(
        policy.config,
        layout=layout,
        windows=windows,
        labelled=run.stage != "stage1",
        latents=run.latents is not None,
    )

    def backward(of: Batch | Features) -> None:
        found = losses(of)
        assert isinstance(found, Tensor)
        found.sum().backward()  # type: ignore[no-untyped-call]

    for parameter in policy.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    if run.stage != "stage2":
        with live.above() as most:
            backward(batch)
        return most[0], 0
    before = live.now
    with live.above() as most, torch.no_grad():
        features = losses(batch, features_only=True)
    assert isinstance(features, Features)
    kept = live.now - before
    with live.above() as trained:
        backward(features)
    return max(most[0] - kept, trained[0]), kept


def _gathered(policy: VideoPolicy) -> int:
    """FSDP2's whole weights: of what belongs to no block, always, and of two blocks; and gradients of the former."""
    blocks = [list(block.parameters()) for block in policy.unet.blocks()]
    inside = {parameter for block in blocks for parameter in block}
    outside = set(policy.parameters()) - inside - set(policy.autoencoder.parameters())
    largest = sorted((sum(parameter.numel() for parameter in block) for block in blocks), reverse=True)[:2]
    numbers = sum(parameter.numel() * (2 if parameter.requires_grad else 1) for parameter in outside) + sum(largest)
    return _FLOAT * numbers
