"""The training loop of both stages.

What it writes: RUN/run.json, RUN/metrics.jsonl, RUN/checkpoints/, and RUN/corrupt.jsonl where clips are damaged.
"""

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vpdata import spaces
from vpdata.loader.batch import WindowBatch
from vpdata.loader.loader import Loader, load
from vpdata.loader.window import Window, cut_window
from vpdata.mixture.mixture import Mixture, PlacedClip
from vptrain.batch import Batch, make_batches, window_spec
from vptrain.checkpoint import DataPosition, save_checkpoint
from vptrain.config import ModelConfig, RunConfig, to_dict
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.training.metrics import MetricsLog
from vptrain.training.step import draw_features, feature_losses, mean_loss, step_generator, window_losses

LEDGER = "corrupt.jsonl"
LOG_EVERY = 10
EVALUATION_WINDOWS = 16
EVALUATION_SEED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run reports after every step."""

    step: int
    loss: float
    windows_per_second: float
    data_wait_share: float
    num_corrupt: int


@dataclass(slots=True, kw_only=True)
class Trainer:
    """One run, new or resumed.

    Attributes:
        folder: the run's folder.
        run: how to train.
        policy: on its device; the parts that the stage does not train are frozen here.
        text: encodes instructions.
        mixture: as opened; stage 2 uses its labelled part.
        mixture_file: where it was read from, for the checkpoints.
        normalizer: of actions; required in stage 2.
        step: steps done.
        num_corrupt: damaged windows that were replaced by others, since this process began to train.
    """

    folder: Path
    run: RunConfig
    policy: VideoPolicy
    text: CachedText
    mixture: Mixture
    mixture_file: str
    normalizer: ActionNormalizer | None
    step: int = 0
    optimizer_state: dict[str, Any] | None = None
    num_corrupt: int = 0

    def train(self, report: Callable[[Progress], None]) -> None:
        """Trains to the last step, writing metrics and checkpoints.

        Raises:
            VptrainError: the loss is not finite, a checkpoint cannot be written, or the mixture ends too early.
            VpdataError: windows cannot be loaded, or too many are damaged.
        """
        self._check_length()
        if self.run.cpu_threads is not None:
            torch.set_num_threads(self.run.cpu_threads)
        groups = trainable(self.policy, self.run)
        parameters = [parameter for group in groups for parameter in group["params"]]
        optimizer = torch.optim.Adam(groups, lr=self.run.learning_rate)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._describe(num_parameters=sum(parameter.numel() for parameter in parameters))
        log = MetricsLog(self.folder / "metrics.jsonl", step=self.step)
        clock = _Clock(log.seconds)
        held_out = self._held_out_batches()
        losses: list[float] = []
        for losses_of in self._steps(clock):
            loss = self._update(losses_of, parameters, optimizer)
            self.step += 1
            losses.append(loss)
            clock.count(self.run.batch_size)
            saving = self.step % self.run.checkpoint_every == 0 or self.step == self.run.steps
            if saving or self.step % LOG_EVERY == 0:  # before every checkpoint, so that a resumed run logs the same
                rate = optimizer.param_groups[0]["lr"]
                log.append(step=self.step, loss=sum(losses) / len(losses), **clock.values(), learning_rate=rate)
                losses.clear()
            if held_out and (self.step % self.run.evaluate_every == 0 or self.step == self.run.steps):
                log.append(step=self.step, held_out_loss=self._evaluate(held_out))
            if saving:
                self._save(optimizer)
            report(
                Progress(
                    step=self.step,
                    loss=loss,
                    windows_per_second=clock.windows_per_second,
                    data_wait_share=clock.data_wait_share,
                    num_corrupt=self.num_corrupt,
                )
            )

    def _steps(self, clock: "_Clock") -> Iterator[Callable[[torch.Generator], Iterator[Tensor]]]:
        """For every step to come, what yields each of its batches' share of the mean loss.

        A block of batches is loaded for as many steps as it has batches, times `reuse` in stage 2, where the frozen
        part's features of the whole block are kept. A run that resumes inside a block loads the block again.
        """
        run = self.run
        size, reuse = (run.reuse_block, run.reuse) if run.stage == "stage2" else (1, 1)
        block, done = divmod(self.step, size * reuse)
        with self._loader(first=block * size, last=self._num_batches()) as loader:
            loaded = clock.waiting(loader)
            for number in itertools.count(block):
                some = enumerate(itertools.islice(loaded, size))  # one by one: the next batch's frames overwrite these
                prepared = [self._prepare(windows, number * size + i) for i, windows in some]
                if not prepared:
                    return
                self.num_corrupt = loader.num_corrupt
                order = [i for turn in range(reuse) for i in self._turn(number, turn, size)]
                for i in order[done : run.steps - number * size * reuse]:
                    yield prepared[i]
                done = 0

    def _num_batches(self) -> int:
        """That all steps of the run need, in whole blocks."""
        size, reuse = (self.run.reuse_block, self.run.reuse) if self.run.stage == "stage2" else (1, 1)
        return -(-self.run.steps // (size * reuse)) * size

    def _check_length(self) -> None:
        needed = self._num_batches() * self.run.batch_size
        if self.mixture.num_positions is not None and self.mixture.num_positions < needed:
            raise VptrainError(
                f"the mixture ends after {self.mixture.num_positions} windows, {self.run.steps} steps need {needed}.",
                path=self.mixture_file,
                hint="Train for fewer --steps, or make the mixture with `--exhaustion repeat`.",
            )

    def _turn(self, block: int, turn: int, size: int) -> list[int]:
        generator = step_generator(self.run, block, purpose=f"turn {turn} of block ")
        return [int(i) for i in torch.randperm(size, generator=generator)]

    def _prepare(self, windows: WindowBatch, number: int) -> Callable[[torch.Generator], Iterator[Tensor]]:
        """What computes the shares of a batch's loss: from the batch, or in stage 2 from its features, made here."""
        made, count = self._batches(windows), len(windows.windows)
        arguments: dict[str, Any] = {"text": self.text, "run": self.run}
        if self.run.stage != "stage2":
            return lambda generator: (
                window_losses(self.policy, batch, **arguments, generator=generator).sum() / count for batch in made
            )
        drawing = step_generator(self.run, number, purpose="features of batch ")
        kept = [draw_features(self.policy, batch, **arguments, generator=drawing) for batch in made]
        return lambda generator: (
            feature_losses(self.policy, features, run=self.run, generator=generator).sum() / count for features in kept
        )

    def _loader(self, *, first: int, last: int) -> Loader:
        size = self.run.batch_size
        return load(
            self.mixture,
            window_spec(self.policy.config),
            batch_size=size,
            start=first * size,
            stop=last * size,
            num_workers=self.run.num_workers,
            ledger=self.folder / LEDGER,
            pin=self._device.type == "cuda",
        )

    @property
    def _device(self) -> torch.device:
        return next(self.policy.parameters()).device

    def _update(
        self,
        shares: Callable[[torch.Generator], Iterator[Tensor]],
        parameters: list[nn.Parameter],
        optimizer: torch.optim.Optimizer,
    ) -> float:
        for group in optimizer.param_groups:
            group["lr"] = self._rate() * group["factor"]
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for share in shares(step_generator(self.run, self.step)):
            share.backward()  # type: ignore[no-untyped-call]
            total += share.item()
        if not math.isfinite(total):
            first, last = self._positions()
            raise VptrainError(
                f"the loss of step {self.step + 1} is {total}: its windows are at positions {first} to {last - 1} of "
                "the mixture.",
                path=self.folder,
                hint="The last checkpoint is whole; lower the learning rate (--lr) or look at those windows.",
            )
        if self.run.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.run.clip_norm)
        optimizer.step()
        return total

    def _batches(self, windows: WindowBatch | Sequence[Window]) -> list[Batch]:
        return make_batches(
            windows,
            image_size=self.policy.config.image_size,
            device=self._device,
            normalizer=None if self.run.stage == "stage1" else self.normalizer,
            padding=self.run.padding,
        )

    def _rate(self) -> float:
        rate = self.run.learning_rate
        if self.step < self.run.warmup_steps:
            return rate * (self.step + 1) / self.run.warmup_steps
        if not self.run.decay:
            return rate
        done = (self.step - self.run.warmup_steps) / max(1, self.run.steps - self.run.warmup_steps)
        return rate * 0.5 * (1 + math.cos(math.pi * done))

    def _held_out_batches(self) -> list[Batch]:
        clips = self.mixture.held_out_clips()
        if self.run.stage != "stage1":
            clips = [placed for placed in clips if convertible(placed, self.policy.config)]
        return self._batches(spread_windows(clips, self.policy.config, count=EVALUATION_WINDOWS))

    @torch.no_grad()
    def _evaluate(self, held_out: Sequence[Batch]) -> float:
        run = replace(self.run, drop_rate=0.0, color_jitter=False)
        generator = step_generator(run, EVALUATION_SEED)
        return mean_loss(self.policy, held_out, text=self.text, run=run, generator=generator).item()

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        save_checkpoint(
            self.folder,
            step=self.step,
            policy=self.policy,
            run=self.run,
            normalizer=self.normalizer,
            data=DataPosition(mixture=self.mixture_file, digest=self.mixture.digest, position=self._positions()[0]),
            optimizer_state=optimizer.state_dict(),
        )

    def _positions(self) -> tuple[int, int]:
        """The global positions of the windows that the next step's block of batches holds, half open."""
        size, reuse = (self.run.reuse_block, self.run.reuse) if self.run.stage == "stage2" else (1, 1)
        first = self.step // (size * reuse) * size * self.run.batch_size
        return first, first + size * self.run.batch_size

    def _describe(self, *, num_parameters: int) -> None:
        values = {
            "model": to_dict(self.policy.config),
            "run": to_dict(self.run),
            "mixture": self.mixture_file,
            "trainable_parameters": num_parameters,
            "parameters": sum(parameter.numel() for parameter in self.policy.parameters()),
        }
        (self.folder / "run.json").write_text(json.dumps(values, indent=2) + "\n")


class _Clock:
    """Wall time of a run and the share of it spent waiting for data."""

    def __init__(self, seconds_before: float) -> None:
        self._before = seconds_before
        self._begin = time.monotonic()
        self._waited = 0.0
        self._windows = 0

    def waiting(self, source: Iterator[WindowBatch]) -> Iterator[WindowBatch]:
        """Passes windows on and measures the waits for them."""
        while True:
            asked = time.monotonic()
            windows = next(source, None)
            self._waited += time.monotonic() - asked
            if windows is None:
                return
            yield windows

    def count(self, windows: int) -> None:
        """Notes trained windows."""
        self._windows += windows

    @property
    def _elapsed(self) -> float:
        return max(time.monotonic() - self._begin, 1e-9)

    @property
    def windows_per_second(self) -> float:
        """Since this process began to train."""
        return self._windows / self._elapsed

    @property
    def data_wait_share(self) -> float:
        """Since this process began to train."""
        return self._waited / self._elapsed

    def values(self) -> dict[str, float]:
        """For the metrics log."""
        return {
            "seconds": self._before + self._elapsed,
            "windows_per_second": self.windows_per_second,
            "data_wait_share": self.data_wait_share,
        }


def trainable(policy: VideoPolicy, run: RunConfig) -> list[dict[str, Any]]:
    """Freezes all but what the stage trains, and returns that as an optimizer's groups.

    A group has its `params`, and the `factor` by which their learning rate differs from the run's.
    """
    policy.requires_grad_(False)
    groups: list[dict[str, Any]] = []
    if run.stage != "stage2":
        groups.append({"params": list(policy.unet.requires_grad_(True).parameters()), "factor": 1.0})
    if run.stage != "stage1":
        heads = [*policy.encoder.requires_grad_(True).parameters(), *policy.head.requires_grad_(True).parameters()]
        groups.append({"params": heads, "factor": run.head_rate_factor if run.stage == "joint" else 1.0})
    return groups


def convertible(placed: PlacedClip, config: ModelConfig) -> bool:
    """Whether a clip has actions that the model can predict, and a camera that it knows to predict them from."""
    space = placed.clip.episode.action_space
    cameras = {camera.name for camera in placed.clip.episode.cameras}
    fits = space is not None and spaces.can_convert(space, config.action_space)
    return placed.labelled and fits and not cameras.isdisjoint(config.cameras)


def spread_windows(clips: Sequence[PlacedClip], config: ModelConfig, *, count: int) -> list[Window]:
    """At most `count` windows with evenly spaced starts: the same number of every clip.

    Of more than `count` clips, `count` evenly spaced ones give one window each.
    """
    if len(clips) > count:
        clips = [clips[len(clips) * (2 * i + 1) // (2 * count)] for i in range(count)]
    windows = []
    per_clip = count // max(1, len(clips))
    for placed in clips:
        starts = placed.clip.num_labelled_starts if placed.labelled else placed.clip.span.num_starts
        chosen = min(per_clip, starts)
        for i in range(chosen):
            start = starts * (2 * i + 1) // (2 * chosen)
            windows.append(
                cut_window(
                    placed.dataset,
                    placed.clip,
                    start,
                    window_spec(config),
                    labelled=placed.labelled,
                    source=placed.source,
                )
            )
    return windows
