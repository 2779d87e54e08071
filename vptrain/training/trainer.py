"""The training loop of both stages.

What it writes: RUN/run.json, RUN/metrics.jsonl, RUN/checkpoints/, and RUN/corrupt.jsonl where clips are damaged.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vpdata import spaces
from vpdata.loader.batch import WindowBatch
from vpdata.loader.loader import Loader, load
from vpdata.loader.window import Window, cut_window
from vpdata.mixture.mixture import Mixture, PlacedClip
from vptrain.batch import Batch, make_batches, window_spec
from vptrain.checkpoint import DataPosition, save_checkpoint
from vptrain.config import ModelConfig, RunConfig, to_dict
from vptrain.draws import generator
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.training.engine import Engine
from vptrain.training.learner import Learner, LossError, Restored, Update
from vptrain.training.metrics import MetricsLog
from vptrain.training.step import Features

LEDGER = "corrupt.jsonl"
LOG_EVERY = 10
EVALUATION_WINDOWS = 16


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
    """One run, new or resumed, as one of its processes sees it.

    Attributes:
        folder: the run's folder.
        run: how to train.
        engine: this process among those of the run.
        policy: on its device.
        text: encodes instructions.
        mixture: as opened; stage 2 uses its labelled part.
        mixture_file: where it was read from, for the checkpoints.
        normalizer: of actions; required in stage 2.
        restored: of a run that goes on.
        step: steps done.
        num_corrupt: damaged windows that were replaced by others in this process, since it began to train.
    """

    folder: Path
    run: RunConfig
    engine: Engine
    policy: VideoPolicy
    text: CachedText
    mixture: Mixture
    mixture_file: str
    normalizer: ActionNormalizer | None
    restored: Restored | None = None
    step: int = 0
    num_corrupt: int = 0

    def train(self, report: Callable[[Progress], None], *, asked_to_stop: Callable[[], bool] = lambda: False) -> bool:
        """Trains to the last step, writing metrics and checkpoints; returns whether it got there.

        Args:
            report: called after each step, in every process.
            asked_to_stop: asked after each step; where it is true in any process, all write a checkpoint and return.

        Raises:
            VptrainError: the loss is not finite, a checkpoint cannot be written, or the mixture ends too early.
            VpdataError: windows cannot be loaded, or too many are damaged.
        """
        self._check_length()
        if self.run.cpu_threads is not None:
            torch.set_num_threads(self.run.cpu_threads)
        learner = Learner.make(self.policy, run=self.run, engine=self.engine, text=self.text, restored=self.restored)
        self.restored = None
        log = None
        if self.engine.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._describe()
            log = MetricsLog(self.folder / "metrics.jsonl", step=self.step)
        clock = _Clock(0.0 if log is None else log.seconds)
        held_out = self._held_out_batches()
        losses: list[float] = []
        for items, turn in self._steps(learner, clock):
            update = self._update(learner, items, turn=turn, stopping=asked_to_stop())
            self.step += 1
            losses.append(update.loss)
            clock.count(self.run.batch_size)
            ends = self.step == self.run.steps
            saving = ends or update.stopping or self.step % self.run.checkpoint_every == 0
            if log is not None and (saving or self.step % LOG_EVERY == 0):  # so that a resumed run logs the same
                rate, mean = learner.learning_rate, sum(losses) / len(losses)
                log.append(
                    step=self.step, loss=mean, **clock.values(), learning_rate=rate, gradient_norm=update.gradient_norm
                )
                losses.clear()
            if held_out and (ends or self.step % self.run.evaluate_every == 0):
                held_out_loss = learner.evaluate(held_out)
                if log is not None:
                    log.append(step=self.step, held_out_loss=held_out_loss)
            if saving:
                self._save(learner)
            report(
                Progress(
                    step=self.step,
                    loss=update.loss,
                    windows_per_second=clock.windows_per_second,
                    data_wait_share=clock.data_wait_share,
                    num_corrupt=self.num_corrupt,
                )
            )
            if update.stopping:
                break
        return self.step == self.run.steps

    def _update(self, learner: Learner, items: list[Batch] | list[Features], *, turn: int, stopping: bool) -> Update:
        try:
            return learner.update(items, turn=turn, step=self.step, stopping=stopping)
        except LossError as error:
            first, last = self._positions()
            raise VptrainError(
                f"the loss of step {self.step + 1} is {error.loss}: its windows are at positions {first} to {last - 1} "
                "of the mixture.",
                path=self.folder,
                hint="The last checkpoint is whole; lower the learning rate (--lr) or look at those windows.",
            ) from None

    def _steps(self, learner: Learner, clock: "_Clock") -> Iterator[tuple[list[Batch] | list[Features], int]]:
        """For every step to come, this process's share of its windows, and how often they have served before.

        A block of batches is loaded for as many steps as it has batches, times `reuse` in stage 2, where the frozen
        part's features of the whole block are kept. A run that resumes inside a block loads the block again.
        """
        run = self.run
        size, reuse = self._block
        block, done = divmod(self.step, size * reuse)
        with self._loader(first=block * size, last=self._num_batches()) as loader:
            loaded = clock.waiting(loader)
            for number in itertools.count(block):
                some = itertools.islice(loaded, size)  # one by one: the next batch's frames overwrite these
                prepared = [self._prepare(windows, learner) for windows in some]
                if not prepared:
                    return
                self.num_corrupt = loader.num_corrupt
                order = [(i, turn) for turn in range(reuse) for i in self._turn(number, turn, size)]
                for i, turn in order[done : run.steps - number * size * reuse]:
                    yield prepared[i], turn
                done = 0

    @property
    def _block(self) -> tuple[int, int]:
        """Batches that are loaded together, and how often each then serves."""
        return (self.run.reuse_block, self.run.reuse) if self.run.stage == "stage2" else (1, 1)

    def _num_batches(self) -> int:
        """That all steps of the run need, in whole blocks."""
        size, reuse = self._block
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
        order = torch.randperm(size, generator=generator(f"{self.run.seed}:{self.run.stage}:{block}:{turn}"))
        return [int(i) for i in order]

    def _prepare(self, windows: WindowBatch, learner: Learner) -> list[Batch] | list[Features]:
        """What a step takes: micro-batches, or in stage 2 their features, made here."""
        batches = self._batches(windows)
        return learner.features(batches) if self.run.stage == "stage2" else batches

    def _loader(self, *, first: int, last: int) -> Loader:
        size, rank = self.run.batch_size, self.engine.rank
        return load(
            self.mixture,
            window_spec(self.policy.config),
            batch_size=size,
            start=first * size,
            stop=last * size,
            num_workers=self.run.num_workers,
            rank=rank,
            world_size=self.engine.world_size,
            ledger=self.folder / (f"corrupt-{rank}.jsonl" if rank else LEDGER),
            pin=self.engine.device.type == "cuda",
        )

    def _batches(self, windows: WindowBatch | Sequence[Window]) -> list[Batch]:
        made = make_batches(
            windows,
            image_size=self.policy.config.image_size,
            device=self.engine.device,
            normalizer=None if self.run.stage == "stage1" else self.normalizer,
            padding=self.run.padding,
        )
        return [part for batch in made for part in batch.split(self.run.micro_batch_size)]

    def _held_out_batches(self) -> list[Batch]:
        """This process's share of the held-out windows; of no process if there are fewer than processes."""
        clips = self.mixture.held_out_clips()
        if self.run.stage != "stage1":
            clips = [placed for placed in clips if convertible(placed, self.policy.config)]
        windows = spread_windows(clips, self.policy.config, count=EVALUATION_WINDOWS)
        if len(windows) < self.engine.world_size:
            return []
        return self._batches(windows[self.engine.rank :: self.engine.world_size])

    def _save(self, learner: Learner) -> None:
        saved = learner.state()
        if self.engine.is_main:
            save_checkpoint(
                self.folder,
                step=self.step,
                weights=saved.weights,
                average=saved.average,
                model=self.policy.config,
                run=self.run,
                normalizer=self.normalizer,
                data=DataPosition(mixture=self.mixture_file, digest=self.mixture.digest, position=self._positions()[0]),
                optimizer_state=saved.optimizer,
            )
        self.engine.wait()

    def _positions(self) -> tuple[int, int]:
        """The global positions of the windows that the next step's block of batches holds, half open."""
        size, reuse = self._block
        first = self.step // (size * reuse) * size * self.run.batch_size
        return first, first + size * self.run.batch_size

    def _describe(self) -> None:
        values = {
            "model": to_dict(self.policy.config),
            "run": to_dict(self.run),
            "mixture": self.mixture_file,
            "processes": self.engine.world_size,
            "trainable_parameters": sum(p.numel() for p in self.policy.parameters() if p.requires_grad),
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
