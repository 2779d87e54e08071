"""Scripted experts to recordings: every attempt becomes a plain folder `OUT/TASK/seed_NNNNNN`.

Enters: tasks, how many episodes of each, cameras, a first seed. Leaves: a tree that `vpdata ingest folder` reads. The
seeds of a task are tried in order until enough of them succeeded, whatever the number of workers, so that the same
command makes the same recordings; it goes on from those that are there.
"""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vpdata.errors import SimulatorError
from vpdata.simulators import EnvironmentOptions
from vpdata.simulators.pool import Pool, started
from vpdata.simulators.take import NOTES, recording

OPTIONS = "collect.json"
LOCK = ".lock"
WRIST_CAMERAS = ("gripperPOV",)
TOLERATED_FAILURES = 10  # beside as many as there are to be episodes


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectOptions:
    """What decides the recording of an attempt.

    Attributes:
        simulator: a name in `simulators.NAMES` whose environments are `Expert`s.
        cameras: the simulator's names.
        size: height and width of the frames in pixels.
        keep_failures: attempts at which the expert did not succeed are kept too, and count.
    """

    simulator: str
    cameras: tuple[str, ...]
    size: int
    keep_failures: bool = False

    def canonical_cameras(self) -> dict[str, str]:
        """Canonical name -> the simulator's; the camera on the hand is the wrist."""
        return {"wrist" if camera in WRIST_CAMERAS else camera.lower(): camera for camera in self.cameras}

    def to_json(self) -> str:
        """As it stands in `OUT/collect.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(slots=True, kw_only=True)
class TaskAttempts:
    """The attempts at one task: their seeds, in the order in which they ended.

    Attributes:
        num_made: episodes made now; the others were there.
    """

    task: str
    succeeded: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    num_made: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collect did.

    Attributes:
        backend: what rendered, a value of `MUJOCO_GL`; None where nothing was simulated.
        tasks: one each, in the order given.
    """

    backend: str | None
    tasks: tuple[TaskAttempts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    seed: int
    success: bool
    is_new: bool


def collect(
    options: CollectOptions,
    out: Path,
    *,
    tasks: tuple[str, ...],
    episodes: int,
    seed: int,
    workers: int,
    python: Path | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Collected:
    """Records the experts' attempts, or finds that they are there already.

    Args:
        options: what decides the recordings.
        out: the folder to make, or to go on with.
        tasks: names of the simulator's tasks.
        episodes: how many to keep of each task.
        seed: of each task's first attempt; the others take the next ones.
        workers: processes that simulate.
        python: the interpreter that has the simulator; None for this one.
        progress: called with 1 for each episode that is kept.

    Raises:
        SimulatorError: an unknown task or camera; a simulator that is missing, cannot render or crashes; an expert that
            fails too often; an OUT that holds something else. Finished episodes stay.
    """
    attempts = [TaskAttempts(task=task) for task in dict.fromkeys(tasks)]
    # The processes end before the threads do, which wait for them.
    with _claimed(out, options), ThreadPoolExecutor(workers) as threads, started(workers, python) as pool:
        running: dict[Future[_Attempt], TaskAttempts] = {}
        while True:
            while len(running) < workers and (task := _next(attempts, running, episodes, options)) is not None:
                number = seed + _num_begun(task, running)
                running[threads.submit(_attempt, pool, out / task.task, number, options)] = task
            if not running:
                return Collected(backend=pool.backend, tasks=tuple(attempts))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                _enter(future.result(), running.pop(future), episodes, options, progress)


def _num_begun(task: TaskAttempts, running: dict[Future[_Attempt], TaskAttempts]) -> int:
    return len(task.succeeded) + len(task.failed) + sum(one is task for one in running.values())


def _next(
    attempts: list[TaskAttempts], running: dict[Future[_Attempt], TaskAttempts], episodes: int, options: CollectOptions
) -> TaskAttempts | None:
    """The first task that may still lack an episode when all that is running succeeds."""
    for task in attempts:
        lost = 0 if options.keep_failures else len(task.failed)
        if _num_begun(task, running) - lost < episodes:
            return task
    return None


def _enter(
    attempt: _Attempt, task: TaskAttempts, episodes: int, options: CollectOptions, progress: Callable[[int], object]
) -> None:
    (task.succeeded if attempt.success else task.failed).append(attempt.seed)
    task.num_made += attempt.is_new
    if attempt.success or options.keep_failures:
        progress(1)
    elif len(task.failed) > episodes + TOLERATED_FAILURES:
        raise SimulatorError(
            f"the expert of {task.task} failed {len(task.failed)} times and succeeded {len(task.succeeded)} times.",
            hint="Leave this task out, or keep its failures with --keep-failures.",
        )


def _attempt(pool: Pool, folder: Path, seed: int, options: CollectOptions) -> _Attempt:
    take_folder = folder / f"seed_{seed:06d}"
    if take_folder.is_dir():
        notes = json.loads((take_folder / NOTES).read_bytes())
        return _Attempt(seed=seed, success=notes["attributes"]["success"], is_new=False)
    cameras = options.canonical_cameras()
    wanted = EnvironmentOptions(task=folder.name, cameras=cameras, size=options.size)
    with pool.lend(options.simulator, wanted) as environment:
        steps = environment.rehearse(seed)
        if steps is None and not options.keep_failures:
            return _Attempt(seed=seed, success=False, is_new=False)
        info = environment.info
        folder.mkdir(exist_ok=True)
        with recording(take_folder, task=folder.name, info=info, cameras=cameras) as take:
            seen = environment.reset(seed)
            take.see(seen)
            for _ in range(steps or info.max_steps):
                action = environment.expert()
                take.act(action)
                seen = environment.step(action)
                take.see(seen)
            if seen.success != (steps is not None):
                raise SimulatorError(
                    f"{folder.name} with seed {seed} went otherwise than at its rehearsal.",
                    hint="The simulator does not repeat itself on this machine.",
                )
            take.finish({"success": seen.success, "seed": seed})
    return _Attempt(seed=seed, success=seen.success, is_new=True)


@contextmanager
def _claimed(out: Path, options: CollectOptions) -> Iterator[None]:
    """Holds OUT for this process alone. A new one without an episode goes at the end.

    Raises:
        SimulatorError: it is another's, a file, or holds something else.
    """
    if out.exists() and not out.is_dir():
        raise SimulatorError("this is a file.", path=out, hint="Choose a new folder with --out.")
    if out.is_dir() and any(out.iterdir()) and not (out / OPTIONS).is_file():
        raise SimulatorError("the folder holds something else.", path=out, hint="Choose a new folder with --out.")
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SimulatorError("another process is collecting here.", path=out, hint="Wait for it.") from None
        path = out / OPTIONS
        begun = any(entry.is_dir() for entry in out.iterdir())
        if not begun:
            partial = path.with_name(f".{OPTIONS}")
            partial.write_text(options.to_json(), encoding="utf-8")
            partial.rename(path)
        elif path.read_text(encoding="utf-8") != options.to_json():
            what = f"the folder was begun with other cameras or another size (see {OPTIONS})."
            raise SimulatorError(what, path=out, hint="Choose a new folder with --out.")
        try:
            yield
        finally:
            if made and not any(entry.is_dir() for entry in out.iterdir()):
                shutil.rmtree(out)
