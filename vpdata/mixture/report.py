"""A mixture enters; what a run with it will see, as numbers and names, leaves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vpdata.mixture.components import Component
from vpdata.mixture.holdout import episode_key
from vpdata.mixture.mixture import Mixture
from vpdata.schema import Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentReport:
    """One component of a mixture.

    Attributes:
        name: `SOURCE/labelled` or `SOURCE/action-free`.
        num_clips, num_episodes, num_windows: what it holds.
        seconds_per_epoch: recorded time that its window starts cover, in seconds.
        cameras: the distinct layouts, like `wrist 64x64 + left 128x128` (height by width).
        fps: the distinct frame rates.
        tasks: the distinct tasks.
        action_spaces: the distinct action spaces; empty for an action-free component.
        expected_share: of the stream.
        realised: positions that it got in the dry run.
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
    expected_share: float
    realised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What a source keeps back: `withheld` tasks lose their actions, `held_out` episodes are not shown at all."""

    name: str
    path: str
    withheld: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureReport:
    """What a run will see; `num_samples` positions from 0 were tried."""

    digest: str
    seed: int
    num_samples: int
    action_free_expected: float
    action_free_realised: int
    components: tuple[ComponentReport, ...]
    sources: tuple[SourceReport, ...]


def describe(mixture: Mixture, *, num_samples: int) -> MixtureReport:
    """Describes a mixture and runs `num_samples` positions of its order, without reading any shard."""
    realised = Counter(mixture.locate(t).component for t in range(num_samples))
    action_free = [c for c in mixture.components if not c.labelled]
    shares = {c.name: share for c, share in zip(mixture.components, mixture.shares, strict=True)}
    return MixtureReport(
        digest=mixture.digest,
        seed=mixture.spec.seed,
        num_samples=num_samples,
        action_free_expected=float(sum(shares[c.name] for c in action_free)),
        action_free_realised=sum(realised[c.name] for c in action_free),
        components=tuple(
            _component(c, mixture.datasets[c.dataset].clips, float(shares[c.name]), realised[c.name])
            for c in mixture.components
        ),
        sources=tuple(
            SourceReport(name=entry.name, path=str(dataset.path), withheld=entry.withhold, held_out=entry.held_out)
            for entry, dataset in zip(mixture.spec.sources, mixture.datasets, strict=True)
        ),
    )


def _component(component: Component, stored: Sequence[Clip], share: float, realised: int) -> ComponentReport:
    clips = [stored[place] for place in component.clips.tolist()]
    starts = [clip.num_labelled_starts if component.labelled else clip.span.num_starts for clip in clips]
    episodes = [clip.episode for clip in clips]
    return ComponentReport(
        name=component.name,
        num_clips=len(clips),
        num_episodes=len({episode_key(episode) for episode in episodes}),
        num_windows=component.num_windows,
        seconds_per_epoch=sum(count / clip.episode.fps for count, clip in zip(starts, clips, strict=True)),
        cameras=tuple(sorted({_layout(clip) for clip in clips})),
        fps=tuple(sorted({episode.fps for episode in episodes})),
        tasks=tuple(sorted({episode.task for episode in episodes if episode.task})),
        action_spaces=tuple(sorted({e.action_space for e in episodes if e.action_space})) if component.labelled else (),
        expected_share=share,
        realised=realised,
    )


def _layout(clip: Clip) -> str:
    return " + ".join(f"{camera.name} {camera.height}x{camera.width}" for camera in clip.episode.cameras)
