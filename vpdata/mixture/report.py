"""A mixture enters; what a run with it will see, as numbers and names, leaves."""

import json
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vpdata.mixture.components import Component, num_windows_of
from vpdata.mixture.holdout import episode_numbers
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.selection import kept_by_query
from vpdata.mixture.spec import SourceEntry
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentReport:
    """One component of a mixture.

    Attributes:
        name: `SOURCE/labelled`, `SOURCE/action-free`, or `SOURCE:TASK/…`.
        num_clips, num_episodes, num_windows: what it holds.
        seconds_per_epoch: recorded time that its window starts cover, in seconds.
        cameras: the distinct layouts, like `wrist 64x64 + left 128x128` (height by width).
        fps: the distinct frame rates.
        tasks: the distinct tasks.
        action_spaces: the distinct action spaces; empty for an action-free component.
        expected: positions of the dry run that it should get, before rounding to whole windows.
        expected_share: the same as a share of the dry run.
        realised: positions of the dry run that it got.
    """

    name: str
    num_clips: int
    num_episodes: int
    num_windows: int
    seconds_per_epoch: float
    cameras: tuple[str, ...]
    fps: tuple[float, ...]
    tasks: tuple[str, ...]
    action_spaces: tuple[str, ...]
    expected: float
    expected_share: float
    realised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What a source keeps back: clips that its `query` does not keep, `withheld` actions, `held_out` episodes."""

    name: str
    path: str
    query: str
    num_clips: int
    num_clips_kept: int
    withheld: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureReport:
    """What a run will see.

    Attributes:
        digest, seed: of the mixture.
        exhaustion: what happens after a component's last window.
        num_positions: windows of the whole stream; None: it has no end.
        block_shards: shards that a component's epoch goes through at a time; None: all.
        num_samples: positions of the dry run, which begins at 0.
        action_free_steps: the share of action-free windows from a position on, and whether it goes there in a ramp.
        action_free_expected: the same over the dry run.
        action_free_realised: positions of the dry run that show action-free windows.
        components, sources: in the order of the file.
    """

    digest: str
    seed: int
    exhaustion: str
    num_positions: int | None
    block_shards: int | None
    num_samples: int
    action_free_steps: tuple[tuple[int, float, bool], ...]
    action_free_expected: float
    action_free_realised: int
    components: tuple[ComponentReport, ...]
    sources: tuple[SourceReport, ...]


def describe(mixture: Mixture, *, num_samples: int) -> MixtureReport:
    """Describes a mixture and runs `num_samples` positions of its order, or all there are, without reading any shard.

    Without samples the shares are those of the first position.
    """
    if mixture.num_positions is not None:
        num_samples = min(num_samples, mixture.num_positions)
    realised = Counter(mixture.locate(t).component for t in range(num_samples))
    span = max(num_samples, 1)
    shares = [count / span for count in mixture.expected(span)]
    action_free = [i for i, component in enumerate(mixture.components) if not component.labelled]
    return MixtureReport(
        digest=mixture.digest,
        seed=mixture.spec.seed,
        exhaustion=mixture.spec.exhaustion,
        num_positions=mixture.num_positions,
        block_shards=mixture.spec.block_shards,
        num_samples=num_samples,
        action_free_steps=tuple((step.at, float(step.share), step.ramp) for step in mixture.action_free.steps),
        action_free_expected=float(sum(shares[i] for i in action_free)),
        action_free_realised=sum(realised[mixture.components[i].name] for i in action_free),
        components=tuple(
            _component(c, mixture.datasets[c.dataset].index, share, num_samples, realised[c.name])
            for c, share in zip(mixture.components, shares, strict=True)
        ),
        sources=tuple(_source(*source) for source in zip(mixture.spec.sources, mixture.datasets, strict=True)),
    )


def _source(entry: SourceEntry, dataset: Dataset) -> SourceReport:
    share = float(entry.withhold_share)
    return SourceReport(
        name=entry.name,
        path=dataset.place,
        query=entry.query,
        num_clips=len(dataset.index),
        num_clips_kept=int(kept_by_query(entry, dataset).sum()),
        withheld=(*entry.withhold, f"{share:.4g} of the episodes") if share else entry.withhold,
        held_out=entry.held_out,
    )


def _component(component: Component, index: Index, share: Fraction, num_samples: int, realised: int) -> ComponentReport:
    clips = component.clips
    fps = index.fps()[clips]
    num_windows = num_windows_of(index, clips, labelled=component.labelled)
    return ComponentReport(
        name=component.name,
        num_clips=len(clips),
        num_episodes=len(np.unique(episode_numbers(index)[clips])),
        num_windows=component.num_windows,
        seconds_per_epoch=float((num_windows / fps).sum()),
        cameras=tuple(sorted(_layout(cameras) for cameras in _texts(index, "cameras", clips))),
        fps=tuple(np.unique(fps).tolist()),
        tasks=_texts(index, "task", clips),
        action_spaces=_texts(index, "action_space", clips) if component.labelled else (),
        expected=float(share * num_samples),
        expected_share=float(share),
        realised=realised,
    )


def _texts(index: Index, name: str, clips: NDArray[np.int64]) -> tuple[str, ...]:
    """The distinct texts of these clips, sorted, without the empty one."""
    column = index.codes(name)
    return tuple(sorted({column.values[code] for code in np.unique(column.codes[clips]).tolist()} - {""}))


def _layout(cameras: str) -> str:
    return " + ".join(f"{camera['name']} {camera['height']}x{camera['width']}" for camera in json.loads(cameras))
