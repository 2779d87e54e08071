"""A run before it begins: a mixture, a model and a run enter; what it will see, take and leave on the disk leaves."""

import json
import math
from dataclasses import dataclass

import numpy as np

from vpdata.mixture.components import Component, num_windows_of
from vpdata.mixture.mixture import Mixture
from vptrain.config import ModelConfig, RunConfig
from vptrain.errors import VptrainError
from vptrain.training.footprint import Footprint, footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutShare:
    """Windows that show these cameras, as a share of all that the run sees."""

    cameras: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentPasses:
    """What the run sees of a component of the mixture: `num_windows` of it, `share` of the run, so many `passes`."""

    name: str
    num_clips: int
    num_windows: int
    share: float
    passes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before it begins.

    Attributes:
        model: name of the model's size.
        run: how it trains.
        processes: that share a step, each with a device.
        windows_a_process: of a step.
        windows_at_a_time: in one forward and backward pass at most; the activations are those of so many.
        num_positions: of the mixture's stream that the run goes through; `reuse` steps share theirs.
        layouts: by share, largest first.
        components: of the mixture.
        footprint: bytes on each device.
        num_checkpoints: that the finished run keeps.
    """

    model: str
    run: RunConfig
    processes: int
    windows_a_process: int
    windows_at_a_time: int
    num_positions: int
    layouts: tuple[LayoutShare, ...]
    components: tuple[ComponentPasses, ...]
    footprint: Footprint
    num_checkpoints: int

    @property
    def checkpoint_bytes(self) -> int:
        """On disk at most: of all checkpoints that are kept, and of one being written."""
        return (self.num_checkpoints + 1) * self.footprint.checkpoint


def make_plan(mixture: Mixture, *, model: ModelConfig, run: RunConfig, processes: int) -> Plan:
    """Plans a run on so many processes, each with one device.

    Raises:
        VptrainError: the processes cannot share a step, or the mixture ends before the run.
        MixtureError: stage 2 or joint training has no labelled windows.
    """
    if run.batch_size % processes:
        raise VptrainError(
            f"{run.batch_size} windows a step cannot be shared equally by {processes} processes.",
            hint="Choose another --batch-size or --processes.",
        )
    if run.stage != "stage1":
        mixture = mixture.labelled_only()
    num_positions = num_positions_of(run)
    if mixture.num_positions is not None and mixture.num_positions < num_positions:
        raise VptrainError(
            f"the mixture ends after {mixture.num_positions} windows, {run.steps} steps need {num_positions}.",
            hint="Train for fewer --steps, or make the mixture with `--exhaustion repeat`.",
        )
    layouts = _layouts(mixture, model, num_positions)
    share = run.batch_size // processes
    at_a_time = min(share, run.micro_batch_size or share)
    return Plan(
        model=model.name,
        run=run,
        processes=processes,
        windows_a_process=share,
        windows_at_a_time=at_a_time,
        num_positions=num_positions,
        layouts=layouts,
        components=_components(mixture, num_positions),
        footprint=footprint(
            model,
            run,
            layout=max((layout.cameras for layout in layouts), key=len),
            windows=at_a_time,
            num_kept=share * run.reuse_block,
            processes=processes,
        ),
        num_checkpoints=num_checkpoints_of(run),
    )


def num_positions_of(run: RunConfig) -> int:
    """Windows of the stream that a run takes, in whole blocks where stage 2 uses features again."""
    size, reuse = (run.reuse_block, run.reuse) if run.stage == "stage2" else (1, 1)
    return math.ceil(run.steps / (size * reuse)) * size * run.batch_size


def num_checkpoints_of(run: RunConfig) -> int:
    """That a finished run keeps."""
    steps = {*range(run.checkpoint_every, run.steps + 1, run.checkpoint_every), run.steps}
    newest = sorted(steps)[-run.keep_checkpoints :]
    kept = {step for step in steps if run.keep_every and step % run.keep_every == 0}
    return len({*newest, *kept})


def _components(mixture: Mixture, num_positions: int) -> tuple[ComponentPasses, ...]:
    counts = mixture.expected(num_positions)
    return tuple(
        ComponentPasses(
            name=component.name,
            num_clips=len(component.clips),
            num_windows=component.num_windows,
            share=float(count / num_positions),
            passes=float(count / component.num_windows),
        )
        for component, count in zip(mixture.components, counts, strict=True)
        if count
    )


def _layouts(mixture: Mixture, model: ModelConfig, num_positions: int) -> tuple[LayoutShare, ...]:
    shares: dict[tuple[str, ...], float] = {}
    for component, count in zip(mixture.components, mixture.expected(num_positions), strict=True):
        if count:
            for cameras, windows in _windows_by_layout(mixture, component, model).items():
                part = float(count / num_positions) * windows / component.num_windows
                shares[cameras] = shares.get(cameras, 0.0) + part
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return tuple(LayoutShare(cameras=cameras, share=share) for cameras, share in ordered)


def _windows_by_layout(mixture: Mixture, component: Component, model: ModelConfig) -> dict[tuple[str, ...], int]:
    """Of a component; a clip shows those of the model's cameras that it has, or else its first alone."""
    index = mixture.datasets[component.dataset].index
    recorded = index.codes("cameras")
    windows = num_windows_of(index, component.clips, labelled=component.labelled)
    totals = np.bincount(recorded.codes[component.clips], weights=windows, minlength=len(recorded.values))
    found: dict[tuple[str, ...], int] = {}
    for code in np.flatnonzero(totals).tolist():
        names = [camera["name"] for camera in json.loads(recorded.values[code])]
        cameras = tuple(name for name in model.cameras if name in names) or (names[0],)
        found[cameras] = found.get(cameras, 0) + int(totals[code])
    return found
