"""Demos without images to demos with images, by putting the simulator into each recorded state.

Enters: an HDF5 file of LIBERO's or RoboCasa's recorder. Leaves: an HDF5 file as their own scripts write it. One demo is
rendered at a time by each process, and lies in a file of its own until all are there, so that a run which was killed
goes on from the demos that are finished.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vpdata.errors import SimulatorError
from vpdata.simulators import EnvironmentOptions, Observation, Scene
from vpdata.simulators.layouts import LAYOUTS, Layout
from vpdata.simulators.pool import Pool, started

RENDERING = "vpdata_rendering"  # attribute of the rendered `data`: what it was made from and how
Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """How to render.

    Attributes:
        layout: a name in `LAYOUTS`.
        size: height and width of the frames in pixels.
        cameras: canonical name -> recorded name; empty for the layout's own.
        filter_key: name of a list of demos under `mask/`; None for all.
    """

    layout: str
    size: int
    cameras: Mapping[str, str] = field(default_factory=dict)
    filter_key: str | None = None

    def recorded_cameras(self) -> tuple[str, ...]:
        """Names of the datasets under `obs`."""
        return tuple((self.cameras or LAYOUTS[self.layout].cameras).values())


def holds_only_states(path: Path) -> bool:
    """Whether this is an HDF5 file with demos, none of which observes with a camera."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as file:
        data = file.get("data", {})
        observed = [values for demo in data.values() for values in demo.get("obs", {}).values()]
        return bool(data) and not any(isinstance(values, h5py.Dataset) and values.ndim == 4 for values in observed)


def render(
    files: Sequence[Path],
    out: Path,
    options: RenderOptions,
    *,
    workers: int,
    python: Path | None = None,
    progress: Progress = lambda _: None,
) -> list[Path]:
    """Renders files, or finds them rendered.

    Args:
        files: HDF5 files with `states`, `actions` and `model_file`.
        out: the folder to put the rendered files into.
        options: how.
        workers: processes that simulate.
        python: the interpreter that has the simulator; None for this one.
        progress: called with 1 for each demo.

    Returns:
        One path a file, in order.

    Raises:
        SimulatorError: a simulator that is missing, cannot render or crashes; a file that lacks what it needs; two
            files of one task; an OUT with the same files rendered otherwise. Finished demos stay.
    """
    jobs = [_plan(path, out, options) for path in files]
    for number, job in enumerate(jobs):
        first = next(other for other in jobs if other.target == job.target)
        if first is not jobs[number]:
            what = f"this and {first.raw} would both be rendered to {job.target.name}."
            raise SimulatorError(what, path=job.raw, hint="Render them into folders of their own.")
    missing = [job for job in jobs if not job.target.is_file()]
    demos = [(job, demo) for job in missing for demo in job.demos]
    progress(sum(len(job.demos) for job in jobs) - len(demos))
    if demos:
        with ThreadPoolExecutor(workers) as threads, started(min(workers, len(demos)), python) as pool:
            for _ in threads.map(lambda work: _render_demo(work[0], work[1], pool), demos):
                progress(1)
    for job in missing:
        _assemble(job)
    return [job.target for job in jobs]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One file to render: where from, where to, and what makes its rendering this one."""

    raw: Path
    target: Path
    layout: Layout
    environment: EnvironmentOptions
    demos: tuple[str, ...]
    rendering: str

    @property
    def parts(self) -> Path:
        """The hidden folder of the finished demos, of this very rendering alone."""
        digest = hashlib.sha256(self.rendering.encode()).hexdigest()[:16]
        return self.target.with_name(f".{self.target.stem}-{digest}")

    def part(self, demo: str) -> Path:
        """Where a finished demo waits."""
        return self.parts / f"{demo}.hdf5"


def _plan(raw: Path, out: Path, options: RenderOptions) -> _Job:
    layout, recorded = LAYOUTS[options.layout], options.recorded_cameras()
    with raw.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    rendering = json.dumps(
        {"source_sha256": digest, "size": options.size, "cameras": recorded, "filter_key": options.filter_key}
    )
    with h5py.File(raw) as file:
        data = file["data"]
        job = _Job(
            raw=raw,
            target=out / layout.file_name(raw, data),
            layout=layout,
            environment=EnvironmentOptions(
                task=layout.task(data),
                cameras={name: layout.camera(name) for name in recorded},
                size=options.size,
                settings=layout.settings(data),
            ),
            demos=_demos(file, options.filter_key),
            rendering=rendering,
        )
    if job.target.is_file():
        with h5py.File(job.target) as file:
            if file["data"].attrs.get(RENDERING) != rendering:
                what = f"the file is there, but is no rendering of {raw} at this size and with these cameras."
                raise SimulatorError(what, path=job.target, hint="Render into another folder.")
    return job


def _demos(file: h5py.File, filter_key: str | None) -> tuple[str, ...]:
    if filter_key is None:
        return tuple(file["data"])
    masks = file.get("mask", {})
    if filter_key not in masks:
        there = ", ".join(masks) or "none"
        raise SimulatorError(f"there is no filter key {filter_key!r}; those in the file: {there}.", path=file.filename)
    return tuple(name.decode() for name in masks[filter_key][:])


def _render_demo(job: _Job, demo: str, pool: Pool) -> None:
    if job.part(demo).is_file():
        return
    layout = job.layout
    with h5py.File(job.raw) as file, pool.lend(layout.simulator, job.environment) as playback:
        raw = file["data"].get(demo, {})
        if not {"states", "actions"} <= set(raw) or "model_file" not in raw.attrs:
            what = "the file has no such demo, or the demo has no states, actions or model_file."
            raise SimulatorError(what, path=job.raw, episode=demo, hint="Only a recorder's own file can be rendered.")
        states, actions = raw["states"][layout.first_step :], raw["actions"][layout.first_step :]
        shown = states[1:] if layout.is_seen_after else states
        if not len(shown):
            raise SimulatorError(f"{len(states)} states are too few to render.", path=job.raw, episode=demo)
        playback.load_scene(Scene(model_xml=raw.attrs["model_file"], episode_meta=raw.attrs.get("ep_meta", "{}")))
        job.parts.mkdir(parents=True, exist_ok=True)
        with _whole_file(job.part(demo)) as part:
            target = part.create_group(demo)
            for name, value in raw.attrs.items():
                target.attrs[name] = value
            target.attrs["num_samples"] = len(shown)
            target["actions"], target["states"] = actions[: len(shown)], states[: len(shown)]
            successes = [_store(target, layout, step, playback.restore(s), len(shown)) for step, s in enumerate(shown)]
            target["dones"] = np.array(successes, dtype=np.uint8)


def _store(group: h5py.Group, layout: Layout, step: int, seen: Observation, num_steps: int) -> bool:
    """Writes one step of a demo as it is seen, so that memory stays flat; returns whether the task is fulfilled."""
    frames = {name: layout.stored(frame) for name, frame in seen.frames.items()}
    values: dict[str, NDArray[Any]] = {**frames, **layout.split(seen.state)}
    for name, value in values.items():
        if step == 0:
            packing = {"chunks": (1, *value.shape), "compression": "gzip", "compression_opts": 1}
            stored = packing if name in frames else {}
            group.create_dataset(f"obs/{name}", shape=(num_steps, *value.shape), dtype=value.dtype, **stored)
        group["obs"][name][step] = value
    return seen.success


def _assemble(job: _Job) -> None:
    with h5py.File(job.raw) as file, _whole_file(job.target) as whole:
        data = whole.create_group("data")
        for name, value in {**file["data"].attrs, **job.layout.attributes(file["data"])}.items():
            data.attrs[name] = value
        data.attrs[RENDERING] = job.rendering
        for demo in job.demos:
            with h5py.File(job.part(demo)) as part:
                part.copy(demo, data)
        data.attrs["total"] = sum(int(demo.attrs["num_samples"]) for demo in data.values())
        for name, listed in file.get("mask", {}).items():
            if set(listed[:]) <= {demo.encode() for demo in job.demos}:
                whole[f"mask/{name}"] = listed[:]
    shutil.rmtree(job.parts)


@contextmanager
def _whole_file(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file that gets its name when it is complete and on the disk."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with h5py.File(partial, "w") as file:
            yield file
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
