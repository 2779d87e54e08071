"""The training loop of both stages.

What it writes: RUN/run.json, RUN/metrics.jsonl, RUN/checkpoints/, what the trackers and samples write,
RUN/corrupt.jsonl where clips are damaged, and RUN/failed/ for a step that could not be taken.
"""

import itertools
import json
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import shorten

import torch

from vpdata.loader.batch import WindowBatch
from vpdata.loader.loader import Loader, load
from vpdata.loader.window import Window
from vpdata.mixture.mixture import Mixture
from vpdata.shards.files import full_disk_as_error, locked_file, write_whole
from vptrain.batch import Batch, make_batches, window_spec
from vptrain.checkpoint import DataPosition, Training, save_checkpoint
from vptrain.config import RunConfig, to_dict
from vptrain.draws import generator
from vptrain.errors import VptrainError
from vptrain.latents.cached import CachedLatents
from vptrain.latents.recipe import Wanted
from vptrain.models.autoencoder import tensors_digest
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.windows import convertible, spread_windows
from vptrain.training.clock import Clock
from vptrain.training.engine import Engine
from vptrain.training.failure import ShownWindow, failure_folder, save_step
from vptrain.training.learner import Learner, LossError, Restored, Update
from vptrain.training.record import starts
from vptrain.training.samples import Samples, make_samples
from vptrain.training.step import Features
from vptrain.training.watch import Watch, peak_memory

LEDGER = "corrupt.jsonl"
LOCK = ".lock"
LOG_EVERY = 10
EVALUATION_WINDOWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run reports after every step."""

    step: int
    loss: float
    windows_per_second: float
    data_wait_share: float
    memory_gb: float
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
        before: the runs that the weights went through before this one.
        latents: made in advance of the mixture's clips, as `run` says; None for pictures.
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
    before: tuple[Training, ...] = ()
    num_corrupt: int = 0
    latents: CachedLatents | None = field(default=None, init=False)
    _shown: dict[int, ShownWindow] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Opens the run's latents. Raises VptrainError where they do not fit it."""
        if self.run.latents is not None:
            autoencoder = tensors_digest(self.policy.autoencoder)
            wanted = Wanted(model=self.policy.config, autoencoder=autoencoder, color_jitter=self.run.color_jitter)
            self.latents = CachedLatents.open(Path(self.run.latents), self.mixture, wanted)

    def train(
        self,
        report: Callable[[Progress], None],
        *,
        asked_to_stop: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = warnings.warn,
    ) -> bool:
        """Trains to the last step, writing metrics and checkpoints; returns whether it got there.

        Args:
            report: called after each step, in every process.
            asked_to_stop: asked after each step; where it is true in any process, all write a checkpoint and return.
            say: told what the run cannot measure, in every process.

        Raises:
            VptrainError: the loss is not finite or runs away, a checkpoint cannot be written, a tracker cannot be used,
                another process trains in the folder, or the mixture ends too early.
            VpdataError: windows cannot be loaded, too many are damaged, or the folder cannot be written.
        """
        self._check_length()
        if self.run.cpu_threads is not None:
            torch.set_num_threads(self.run.cpu_threads)
        learner = Learner.make(self.policy, run=self.run, engine=self.engine, text=self.text, restored=self.restored)
        self.restored = None
        with full_disk_as_error(self.folder), self._alone():
            if self.engine.is_main:
                self._describe()
            windows = self._held_out_windows()
            samples = make_samples(self.run, windows, self.normalizer, say=say)
            with Watch(self.folder, self.run, step=self.step, writes=self.engine.is_main) as watch:
                return self._train(learner, watch, windows, samples, report, asked_to_stop)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Makes the run's folder, in which one run trains at a time."""
        if not self.engine.is_main:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        hint = "Wait until it has ended, or choose another --out."
        busy = VptrainError("another process is training in this folder.", path=self.folder, hint=hint)
        with locked_file(self.folder / LOCK, busy=busy):
            yield

    def _train(
        self,
        learner: Learner,
        watch: Watch,
        windows: Sequence[Window],
        samples: Samples | None,
        report: Callable[[Progress], None],
        asked_to_stop: Callable[[], bool],
    ) -> bool:
        clock = Clock(watch.seconds)
        held_out = self._held_out_batches(windows)
        losses: list[float] = []
        with closing(self._steps(learner, clock)) as steps:  # and with it the loader, before the interpreter may end
            for items, turn in steps:
                update = self._update(learner, items, turn=turn, stopping=asked_to_stop())
                self.step += 1
                losses.append(update.loss)
                clock.count(self.run.batch_size)
                ends = self.step == self.run.steps
                saving = ends or update.stopping or self.step % self.run.checkpoint_every == 0
                if saving or self.step % LOG_EVERY == 0:  # so that a resumed run logs the same
                    rate, mean = learner.learning_rate, sum(losses) / len(losses)
                    watch.append(
                        step=self.step,
                        loss=mean,
                        **clock.values(),
                        **peak_memory(self.engine.device),
                        learning_rate=rate,
                        gradient_norm=update.gradient_norm,
                    )
                    losses.clear()
                if held_out and (ends or self.step % self.run.evaluate_every == 0):
                    loss = learner.evaluate(held_out)
                    watch.append(step=self.step, held_out_loss=loss.mean, held_out_loss_by_sigma=dict(loss.by_sigma))
                if samples is not None and (ends or self.step % samples.every == 0):
                    predictions = learner.use(samples.predict)
                    if self.engine.is_main:
                        samples.record(predictions, watch=watch, folder=self.folder, step=self.step)
                if saving:
                    self._save(learner, self.folder)
                report(
                    Progress(
                        step=self.step,
                        loss=update.loss,
                        windows_per_second=clock.windows_per_second,
                        data_wait_share=clock.data_wait_share,
                        memory_gb=max(peak_memory(self.engine.device).values()),
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
            kept = self._keep_failure(learner, items, turn=turn, error=error)
            raise VptrainError(
                f"{error.what}: its windows are at positions {first} to {last - 1} of the mixture.",
                path=self.folder,
                hint=f"The last checkpoint is whole; lower the learning rate (--lr) or look at those windows: {kept}.",
            ) from None
        except RuntimeError as error:
            if not self.engine.is_loss_of_process(error):
                raise
            raise VptrainError(
                f"another process of the run was lost in step {self.step + 1} ({shorten(str(error), 200)}).",
                path=self.folder,
                hint="Its own messages say why; the same command with --resume goes on from the last checkpoint.",
            ) from error

    def _keep_failure(
        self, learner: Learner, items: list[Batch] | list[Features], *, turn: int, error: LossError
    ) -> str:
        """Keeps the step that could not be taken; returns how to look at it."""
        folder = failure_folder(self.folder, self.step + 1)
        try:
            self._save(learner, folder)
            save_step(
                folder,
                rank=self.engine.rank,
                step=self.step + 1,
                loss=error.loss,
                items=items,
                turn=turn,
                losses=error.window_losses,
                shown=self._shown,
            )
        except (OSError, RuntimeError, VptrainError) as problem:  # torch's own for a full disk is the second
            return f"they could not be kept for `vptrain replay` ({problem})"
        return f"`vptrain replay {folder}`"

    def _steps(self, learner: Learner, clock: Clock) -> Generator[tuple[list[Batch] | list[Features], int]]:
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
                self._shown.clear()
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
        self._shown.update((shown.position, shown) for shown in map(ShownWindow.of, windows.windows))
        batches = self._batches(windows, latents=self.latents)
        return learner.features(batches) if self.run.stage == "stage2" else batches

    def _loader(self, *, first: int, last: int) -> Loader:
        size, rank, latents = self.run.batch_size, self.engine.rank, self.latents
        spec = window_spec(self.policy.config)
        return load(
            self.mixture,
            spec if latents is None else latents.window_spec(spec, seed=self.run.seed),
            batch_size=size,
            start=first * size,
            stop=last * size,
            num_workers=self.run.num_workers,
            rank=rank,
            world_size=self.engine.world_size,
            ledger=self.folder / (f"corrupt-{rank}.jsonl" if rank else LEDGER),
            pin=self.engine.device.type == "cuda",
            datasets=None if latents is None else latents.datasets,
        )

    def _batches(self, windows: WindowBatch | Sequence[Window], *, latents: CachedLatents | None = None) -> list[Batch]:
        made = make_batches(
            windows,
            image_size=self.policy.config.image_size,
            device=self.engine.device,
            normalizer=None if self.run.stage == "stage1" else self.normalizer,
            padding=self.run.padding,
            latents=None if latents is None else latents.dtype,
        )
        return [part for batch in made for part in batch.split(self.run.micro_batch_size)]

    def _held_out_windows(self) -> list[Window]:
        """That the run is evaluated on: of the clips that its stage could train on."""
        clips = self.mixture.held_out_clips()
        if self.run.stage != "stage1":
            clips = [placed for placed in clips if convertible(placed, self.policy.config)]
        windows = spread_windows(clips, self.policy.config, count=EVALUATION_WINDOWS)
        return [replace(window, position=i) for i, window in enumerate(windows)]  # which the noise follows from

    def _held_out_batches(self, windows: Sequence[Window]) -> list[Batch]:
        """This process's share of the held-out windows; of no process if there are fewer than processes."""
        if len(windows) < self.engine.world_size:
            return []
        return self._batches(windows[self.engine.rank :: self.engine.world_size])

    def _save(self, learner: Learner, folder: Path) -> None:
        saved = learner.state()
        if self.engine.is_main:
            save_checkpoint(
                folder,
                step=self.step,
                weights=saved.weights,
                average=saved.average,
                model=self.policy.config,
                run=self.run,
                normalizer=self.normalizer,
                data=DataPosition(
                    mixture=self.mixture_file,
                    digest=self.mixture.digest,
                    position=self._positions()[0],
                    latents=None if self.latents is None else self.latents.digest,
                ),
                optimizer_state=saved.optimizer,
                before=self.before,
            )
        self.engine.wait()

    def _positions(self) -> tuple[int, int]:
        """The global positions of the windows that the next step's block of batches holds, half open."""
        size, reuse = self._block
        first = self.step // (size * reuse) * size * self.run.batch_size
        return first, first + size * self.run.batch_size

    def _describe(self) -> None:
        file = self.folder / "run.json"
        values = {
            "model": to_dict(self.policy.config),
            "run": to_dict(self.run),
            "mixture": self.mixture_file,
            "mixture_digest": self.mixture.digest,
            "before": [asdict(training) for training in self.before],
            "processes": self.engine.world_size,
            "trainable_parameters": sum(p.numel() for p in self.policy.parameters() if p.requires_grad),
            "parameters": sum(parameter.numel() for parameter in self.policy.parameters()),
            "starts": starts(file, step=self.step, engine=self.engine),
        }
        write_whole(file, (json.dumps(values, indent=2) + "\n").encode())
