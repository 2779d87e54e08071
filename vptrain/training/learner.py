"""A policy that learns: batches in, weights moved; one process's part of it.

Enters: the policy of a run and its state where it goes on. Leaves: losses, and the state that a checkpoint holds.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from vptrain.batch import Batch
from vptrain.config import RunConfig
from vptrain.models.autoencoder import compile_encoder
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.training.engine import Engine
from vptrain.training.evaluation import NUM_LEVELS, HeldOutLoss, label, levels, sigma_at
from vptrain.training.optimizer import Average, freeze, make_optimizer, rate_factor
from vptrain.training.step import Features, StageLosses
from vptrain.training.watch import Divergence

HELD_OUT_SEED = -1

T = TypeVar("T")


class LossError(Exception):
    """The mean loss of a step, or its gradient, is not finite, or the loss has run away, in every process.

    `what` is said to the user; `window_losses` are this process's: (B,) for each of its items.
    """

    def __init__(self, what: str, *, loss: float, window_losses: list[Tensor]) -> None:
        super().__init__(what)
        self.what = what
        self.loss = loss
        self.window_losses = window_losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a checkpoint holds beside the policy's weights."""

    step: int
    average: Mapping[str, Tensor] | None
    optimizer: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a step did: the mean loss over all its windows, the gradient's norm before clipping, and whether to stop."""

    loss: float
    gradient_norm: float
    stopping: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerState:
    """What a checkpoint holds; complete in the main process."""

    weights: dict[str, Tensor]
    average: dict[str, Tensor] | None
    optimizer: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Learner:
    """The policy, spread over the devices, with its optimizer and its moving average."""

    run: RunConfig
    engine: Engine
    losses: StageLosses
    module: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None
    divergence: Divergence

    @classmethod
    def make(
        cls, policy: VideoPolicy, *, run: RunConfig, engine: Engine, text: CachedText, restored: Restored | None = None
    ) -> "Learner":
        """Freezes what the stage does not train, spreads the policy, and takes up the state of a run that goes on."""
        freeze(policy, run)
        if run.channels_last:
            policy.unet.use_channels_last()
        if run.compile:
            policy.unet.compile_blocks()
            compile_encoder(policy.autoencoder)
        if run.activation_checkpointing:
            policy.unet.checkpoint_activations()
        losses = StageLosses(policy, text=text, run=run)
        averaged = {} if restored is None or restored.average is None else restored.average
        weights = {name: tensor.cpu().clone() for name, tensor in policy.state_dict().items() if name in averaged}
        module = engine.spread(losses)
        optimizer = make_optimizer(module, run)
        average = None
        if run.ema_decay is not None:
            engine.load_weights(module, averaged)
            average = Average(
                module.parameters(), decay=run.ema_decay, updates=0 if restored is None else restored.step
            )
            engine.load_weights(module, weights)  # in every process: each has read the checkpoint
        if restored is not None:
            engine.load_optimizer_state(module, optimizer, restored.optimizer)
        return cls(
            run=run,
            engine=engine,
            losses=losses,
            module=module,
            optimizer=optimizer,
            average=average,
            divergence=Divergence(run.diverge_factor),
        )

    @property
    def learning_rate(self) -> float:
        """Of the last update's first parameter group."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    @torch.no_grad()
    def features(self, batches: Sequence[Batch]) -> list[Features]:
        """What stage 2's frozen part makes of batches."""
        made = [self.module(batch, features_only=True) for batch, _ in self._passes(batches)]
        return made[: len(batches)]

    def update(self, items: Sequence[Batch] | Sequence[Features], *, turn: int, step: int, stopping: bool) -> Update:
        """One optimizer step on the batches of all processes, each of which gives its own.

        Args:
            items: what this process has of the step's windows.
            turn: how often features have served before.
            step: steps done before.
            stopping: whether this process was asked to stop.

        Raises:
            LossError: loss or gradient are not finite, or the loss has run away; the weights are as before the step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.run.learning_rate * rate_factor(self.run, step) * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.engine.device)
        passes, window_losses = self._passes(items), list[Tensor]()
        for i, (item, weight) in enumerate(passes, 1):
            with self.engine.gradients(self.module, is_last=i == len(passes)):
                losses = self.module(item, turn=turn)
                share = losses.sum() * (weight / self.run.batch_size)
                self.engine.backward(share)
            window_losses.append(losses.detach())
            total += share.detach()
        loss, stops = self.engine.sum(total.item(), float(stopping))
        seen = window_losses[: len(items)]
        if not math.isfinite(loss) or self.divergence.note(loss):
            raise LossError(f"the loss of step {step + 1} is {loss}", loss=loss, window_losses=seen)
        norm = self.engine.step(
            self.optimizer,
            [parameter for group in self.optimizer.param_groups for parameter in group["params"]],
            clip_norm=self.run.clip_norm,
        )
        if not math.isfinite(norm) and self.run.precision != "fp16":  # where such a step is left out
            raise LossError(f"the gradient's norm of step {step + 1} is {norm}", loss=loss, window_losses=seen)
        if self.average is not None:
            self.average.update()
        return Update(loss=loss, gradient_norm=norm, stopping=stops > 0)

    @torch.no_grad()
    def evaluate(self, batches: Sequence[Batch]) -> HeldOutLoss:
        """The mean loss over batches of all processes at several noise levels, of each window with the same noise.

        Of the averaged weights where there are any.
        """
        kept, self.losses.run = (
            self.losses.run,
            replace(self.run, drop_rate=0.0, color_jitter=False, seed=HELD_OUT_SEED),
        )
        sums = torch.zeros(NUM_LEVELS, device=self.engine.device)
        with self._averaged():
            for batch, weight in self._passes(batches):
                sums += weight * self.module(batch, levels=levels()).sum(dim=1)
        self.losses.run = kept
        count, *totals = self.engine.sum(float(sum(map(len, batches))), *sums.tolist())
        names = [label(sigma_at(level, self.run)) for level in levels()]
        by_sigma = {name: total / count for name, total in zip(names, totals, strict=True)}
        return HeldOutLoss(mean=sum(by_sigma.values()) / len(by_sigma), by_sigma=by_sigma)

    @torch.no_grad()
    def use(self, of: Callable[[VideoPolicy, CachedText], T]) -> T:
        """What a use of the policy returns, of the averaged weights where there are any; in all processes alike."""
        with self._averaged():
            return cast(T, self.module(of))

    def state(self) -> LearnerState:
        """All that a checkpoint holds; every process has to call it."""
        average = None
        if self.average is not None:
            trained = {name for name, parameter in self.losses.policy.named_parameters() if parameter.requires_grad}
            with self._averaged():
                weights = self.engine.policy_state(self.module)
                average = {name: tensor for name, tensor in weights.items() if name in trained}
        return LearnerState(
            weights=self.engine.policy_state(self.module),
            average=average,
            optimizer=self.engine.optimizer_state(self.module, self.optimizer),
        )

    def _passes(self, items: Sequence[T]) -> list[tuple[T, float]]:
        """The items, each with weight 1, and the last one with weight 0 as often as other processes have more."""
        repeated = self.engine.num_passes(len(items)) - len(items)
        return [*((item, 1.0) for item in items), *[(items[-1], 0.0)] * repeated]

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        if self.average is None:
            yield
            return
        self.average.swap()
        try:
            yield
        finally:
            self.average.swap()
