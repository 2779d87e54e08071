"""A mixture and a window specification enter; batches of windows leave, in the order of global positions.

Workers decode frames straight into shared memory, laid out so that what one batch shows at one size lies together.
No number of workers or ranks changes what comes.
"""

import itertools
import logging
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, Self

from vpdata.errors import DamageError, VpdataError
from vpdata.loader.batch import GroupPlan, WindowBatch, plan_groups, regroup
from vpdata.loader.corrupt import Corrupt, Ledger, Tolerance
from vpdata.loader.jobs import Job, Setup, do
from vpdata.loader.memory import SlotMemory
from vpdata.loader.pool import DEPTH, Pool
from vpdata.loader.positions import LoaderState, PositionSampler
from vpdata.loader.process import Method
from vpdata.loader.window import View, Window, WindowArrays, WindowSpec, window_of, window_views
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vpdata.shards.store import is_url

OnCorrupt = Literal["replace", "stop"]
PREFETCHED_WINDOWS = 256
"""Windows ahead of the reader whose clips are fetched where a data set is remote; fewer where the cache is small."""

_LOG = logging.getLogger(__name__)


class _Prefetcher(Protocol):
    """What brings remote clips to this machine before workers ask for them."""

    def advance(self, position: int) -> None: ...

    def close(self) -> None: ...


class _Runner(Protocol):
    """What does jobs: this process itself, or a `Pool`."""

    def submit(self, jobs: Sequence[Job], memory: SlotMemory | None, *, first: bool = False) -> None: ...

    def take(self, jobs: Sequence[Job]) -> list[WindowArrays | Exception]: ...

    def pids(self) -> tuple[int, ...]: ...

    def close(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class _Planned:
    """A batch on its way: its jobs by position, and where their frames go."""

    position: int
    jobs: list[Job]
    views: list[tuple[View, ...]]
    plans: tuple[GroupPlan, ...]
    memory: SlotMemory | None


class Loader:
    """An iterator of `WindowBatch`, made by `load`. Its workers end with `close`, a `with` block or its last user."""

    def __init__(
        self,
        mixture: Mixture,
        spec: WindowSpec,
        *,
        sampler: PositionSampler,
        runner: _Runner,
        prefetcher: _Prefetcher | None,
        lookahead: int,
        hold: int,
        pin: bool,
        on_corrupt: OnCorrupt,
        ledger: Ledger | None,
        datasets: Sequence[Dataset],
    ) -> None:
        self._mixture, self._spec, self._sampler, self._runner = mixture, spec, sampler, runner
        self._datasets = datasets
        self._lookahead, self._pin, self._on_corrupt, self._ledger = lookahead, pin, on_corrupt, ledger
        self._slots: list[SlotMemory | None] = [None] * (lookahead + hold)
        self._numbers = itertools.count()
        self._planned: deque[_Planned] = deque()
        self._num_planned = 0
        self._num_delivered = 0
        self._tolerance = Tolerance()
        self._closed = False
        self._prefetcher = prefetcher
        weakref.finalize(self, _close, runner, prefetcher)

    @property
    def state(self) -> LoaderState:
        """Where to go on after the last batch that was delivered."""
        position = self._sampler.start + self._num_delivered * self._sampler.batch_size
        stop = self._sampler.stop
        return LoaderState(digest=self._mixture.digest, position=position if stop is None else min(position, stop))

    @property
    def num_corrupt(self) -> int:
        """Corrupt windows met and replaced so far."""
        return self._tolerance.num_corrupt

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The processes that load."""
        return self._runner.pids()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> WindowBatch:
        """The next batch.

        Raises:
            VpdataError: a window cannot be loaded, or too many are corrupt. All earlier batches were delivered.
        """
        if self._closed:
            raise StopIteration
        try:
            while self._num_planned <= self._num_delivered + self._lookahead and self._plan():
                pass
            if not self._planned:
                raise StopIteration
            batch = self._deliver(self._planned.popleft())
        except BaseException:
            self.close()
            raise
        self._num_delivered += 1
        return batch

    def close(self) -> None:
        """Ends the workers. Frames that were delivered stay readable."""
        self._closed = True
        self._planned.clear()
        _close(self._runner, self._prefetcher)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _plan(self) -> bool:
        """Hands out the jobs of the next batch; False where there is none."""
        positions = self._sampler.batch(self._num_planned)
        if positions is None:
            return False
        slot = self._num_planned % len(self._slots)
        jobs = [self._job(position, attempt=0) for position in positions]
        views = [window_views(job.clip, self._spec) for job in jobs]
        plans, size = plan_groups(views, num_frames=self._spec.num_frames)
        memory = self._memory(slot, size) if jobs else None
        for plan in plans:
            for member, place in enumerate(plan.places):
                places = tuple(plan.place(view, member) for view in range(len(plan.views)))
                jobs[place] = replace(jobs[place], slot=slot, places=places)
        self._runner.submit(jobs, memory)
        first = self._sampler.start + self._num_planned * self._sampler.batch_size
        self._planned.append(_Planned(position=first, jobs=jobs, views=views, plans=plans, memory=memory))
        self._num_planned += 1
        return True

    def _memory(self, slot: int, size: int) -> SlotMemory:
        """The slot's memory, replaced where it is too small; what was delivered in the old one stays readable."""
        memory = self._slots[slot]
        if memory is None or memory.size < size:
            memory = SlotMemory(size + size // 4 if memory else size, pin=self._pin)
            self._slots[slot] = memory
        return memory

    def _job(self, position: int, *, attempt: int) -> Job:
        ref = self._mixture.locate(position, attempt=attempt)
        return Job(
            number=next(self._numbers),
            position=position,
            attempt=attempt,
            dataset=ref.dataset,
            clip=self._datasets[ref.dataset].clips[ref.clip],
            start=ref.start,
            labelled=ref.labelled,
            source=self._mixture.spec.sources[ref.dataset].name,
            slot=None,
            places=(),
        )

    def _deliver(self, planned: _Planned) -> WindowBatch:
        if self._prefetcher is not None:
            self._prefetcher.advance(planned.position)
        windows: list[Window] = []
        replaced: list[Corrupt] = []
        shown: list[tuple[View, ...]] = []
        results = self._runner.take(planned.jobs)
        for job, views, result in zip(planned.jobs, planned.views, results, strict=True):
            window, views_shown = self._whole(job, views, result, planned.memory, replaced)
            windows.append(window)
            shown.append(views_shown)
        if shown == planned.views:
            memory = planned.memory
            groups = () if memory is None else tuple(plan.group(memory.array) for plan in planned.plans)
            in_order = tuple(windows)
        else:
            groups, in_order = regroup(shown, windows, num_frames=self._spec.num_frames)
        return WindowBatch(position=planned.position, windows=in_order, groups=groups, replaced=tuple(replaced))

    def _whole(
        self,
        job: Job,
        views: tuple[View, ...],
        result: WindowArrays | Exception,
        memory: SlotMemory | None,
        replaced: list[Corrupt],
    ) -> tuple[Window, tuple[View, ...]]:
        """The window of a job with that result, or the first of its replacements that is whole; and what it shows.

        A replacement that shows the same goes where the corrupt window should have gone.
        """
        planned = job
        while isinstance(result, DamageError) and self._on_corrupt == "replace":
            replaced.append(self._note(job, result))
            job = self._job(job.position, attempt=job.attempt + 1)
            if window_views(job.clip, self._spec) == views:
                job = replace(job, slot=planned.slot, places=planned.places)
            self._runner.submit([job], None if job.slot is None else memory, first=True)
            (result,) = self._runner.take([job])
        if isinstance(result, Exception):
            raise result
        if job.attempt:
            self._tolerance.replaced()
        else:
            self._tolerance.good()
        if job.slot is None or memory is None:
            return self._window(job, result), window_views(job.clip, self._spec)
        num_frames = self._spec.num_frames
        frames = {place.view.camera: place.array(memory.array, num_frames=num_frames) for place in job.places}
        return self._window(job, replace(result, frames=frames)), views

    def _window(self, job: Job, arrays: WindowArrays) -> Window:
        return window_of(
            job.clip,
            job.start,
            self._spec,
            arrays,
            labelled=job.labelled,
            source=job.source,
            position=job.position,
        )

    def _note(self, job: Job, error: DamageError) -> Corrupt:
        """Enters a corrupt window in the ledger. Raises LoaderError where it is one too many."""
        corrupt = Corrupt.of(job, error)
        _LOG.warning("The window at position %d is corrupt and replaced by another: %s", job.position, error)
        if self._ledger is not None:
            self._ledger.enter(corrupt)
        self._tolerance.corrupt(corrupt)
        return corrupt


def _close(runner: _Runner, prefetcher: _Prefetcher | None) -> None:
    runner.close()
    if prefetcher is not None:
        prefetcher.close()


class _Inline:
    """Does jobs in this process, when their results are asked for."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._memories: dict[int, SlotMemory | None] = {}

    def submit(self, jobs: Sequence[Job], memory: SlotMemory | None, *, first: bool = False) -> None:  # noqa: ARG002
        self._memories.update({job.number: memory for job in jobs})

    def take(self, jobs: Sequence[Job]) -> list[WindowArrays | Exception]:
        return [self._do(job) for job in jobs]

    def _do(self, job: Job) -> WindowArrays | Exception:
        memory = self._memories.pop(job.number)
        try:
            return do(job, self._setup, None if memory is None else memory.array)
        except VpdataError as error:
            return error

    def pids(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None:
        self._memories.clear()


def load(
    mixture: Mixture,
    spec: WindowSpec,
    *,
    batch_size: int,
    start: int,
    stop: int | None = None,
    num_workers: int,
    rank: int = 0,
    world_size: int = 1,
    timeout_seconds: float = 60.0,
    on_corrupt: OnCorrupt = "replace",
    ledger: Path | None = None,
    method: Method = "spawn",
    hold: int = 1,
    pin: bool = False,
    datasets: tuple[Dataset, ...] | None = None,
) -> Loader:
    """Batches of windows at positions start, start + 1, ...; to resume, start where the last batch ended.

    Args:
        mixture: the stream.
        spec: what to cut.
        batch_size: windows of a global batch, over all ranks; the last before `stop` may have fewer.
        start: the first position, >= 0.
        stop: the position to end before; None: where the stream ends, or never.
        num_workers: processes that load ahead, 0 for none; no number changes what comes.
        rank, world_size: this process, of how many; each gets its share of every batch (`positions.share`).
        timeout_seconds: a worker that does not answer for so long is killed, and its windows are loaded again.
        on_corrupt: what to do about windows whose clips are damaged: `replace` each by another of its component, the
            same in every run, within the limits of `corrupt.Tolerance`; or `stop` with the error.
        ledger: file that gets a line for each corrupt window; None: they are only logged.
        method: how workers start, see `process.start_worker`.
        hold: a batch's frames may be read until so many further batches were asked for.
        pin: page-lock the frames' memory for CUDA.
        datasets: what to read in place of the mixture's own data sets: one for each, with the same clips in the same
            order, such as their latents. They lie in folders.
    """
    if mixture.num_positions is not None:
        stop = mixture.num_positions if stop is None else min(stop, mixture.num_positions)
    sampler = PositionSampler(start=start, stop=stop, batch_size=batch_size, rank=rank, world_size=world_size)
    prefetcher = _prefetcher(mixture, sampler) if datasets is None else None
    datasets = datasets or mixture.datasets
    setup = Setup(datasets=datasets, spec=spec)
    runner: _Runner = _Inline(setup)
    lookahead = 0
    if num_workers:
        runner = Pool(setup, num_workers=num_workers, timeout_seconds=timeout_seconds, method=method)
        windows_a_batch = -(-batch_size // world_size)
        lookahead = max(2, -(-2 * DEPTH * num_workers // windows_a_batch))
    return Loader(
        mixture,
        spec,
        sampler=sampler,
        runner=runner,
        prefetcher=prefetcher,
        lookahead=lookahead,
        hold=hold,
        pin=pin,
        on_corrupt=on_corrupt,
        ledger=None if ledger is None else Ledger(ledger),
        datasets=datasets,
    )


def _prefetcher(mixture: Mixture, sampler: PositionSampler) -> _Prefetcher | None:
    if not any(is_url(dataset.place) for dataset in mixture.datasets):
        return None
    from vpdata.loader.prefetch import Prefetcher  # what it needs for remote files is slow to import

    return Prefetcher(mixture, itertools.chain.from_iterable(sampler), lookahead=PREFETCHED_WINDOWS)


def batches(
    mixture: Mixture, spec: WindowSpec, *, batch_size: int, start: int, stop: int | None, num_workers: int
) -> Iterator[list[Window]]:
    """The simple form of `load`: lists of windows that own their frames; a damaged clip is an error.

    Raises:
        VpdataError: a window cannot be loaded.
    """
    with load(
        mixture,
        spec,
        batch_size=batch_size,
        start=start,
        stop=stop,
        num_workers=num_workers,
        on_corrupt="stop",
    ) as loader:
        for batch in loader:
            yield [
                window.with_frames({camera: frames.copy() for camera, frames in window.frames.items()})
                for window in batch.windows
            ]
