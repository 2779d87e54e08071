"""A mixture file enters; the window at every global position leaves, as a pure function of the file and the data."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from vpdata.errors import MixtureError
from vpdata.mixture.components import Component, build_components, is_labelled
from vpdata.mixture.holdout import episode_key
from vpdata.mixture.permutation import permutation
from vpdata.mixture.schedule import Node, balanced, owner, split
from vpdata.mixture.spec import MixtureSpec
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset

ORDER_VERSION = 1
"""Goes into every digest; a change of code that changes any order changes this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRef:
    """Which window a position shows.

    Attributes:
        dataset: place among the mixture's data sets.
        clip: place among that data set's clips.
        start: first frame, counted in the clip.
        labelled: whether the actions may be shown.
        component: the component's name.
        epoch: how often the component has shown all its windows before.
    """

    dataset: int
    clip: int
    start: int
    labelled: bool
    component: str
    epoch: int


class PlacedClip(NamedTuple):
    """A clip, the data set and source that it comes from, and whether its actions may be shown."""

    dataset: Dataset
    clip: Clip
    source: str
    labelled: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """An open mixture; picklable, and cheap to share between processes.

    Attributes:
        spec: what the file says.
        datasets: one a source, in the same order.
        components: all that have windows.
        shares: one a component: its exact share of the stream, 0 where it is never shown.
        digest: hex SHA-256 of all that decides the order: equal digests, equal windows at every position.
    """

    spec: MixtureSpec
    datasets: tuple[Dataset, ...]
    components: tuple[Component, ...]
    shares: tuple[Fraction, ...]
    digest: str
    schedule: Node

    @staticmethod
    def open(path: Path, *, allow_changed: bool = False) -> "Mixture":
        """Opens a mixture file and the data sets that it names.

        Args:
            path: the TOML file.
            allow_changed: take a data set as it is even though its digest is not the one in the file; the order, and
                so the mixture's digest, is then another one.

        Raises:
            MixtureError: the file is wrong, a data set has changed, or a pool with a share of the stream is empty.
            ShardError: a data set is missing or damaged.
        """
        spec = MixtureSpec.read(path)
        datasets = tuple(Dataset.open((path.parent / entry.path).resolve()) for entry in spec.sources)
        for entry, dataset in zip(spec.sources, datasets, strict=True):
            if dataset.digest != entry.digest and not allow_changed:
                folders = " ".join(str(dataset.path) for dataset in datasets)
                raise MixtureError(
                    f"the data set of source {entry.name} has changed: its digest is {dataset.digest[:12]}…, "
                    f"the mixture was made with {entry.digest[:12]}….",
                    path=path,
                    hint=f"Make the mixture again (`vpdata mix {folders} --out {path} --force`, with your options), "
                    "or pass --allow-changed-data to take the data as they are, in another order.",
                )
        try:
            return Mixture.of(spec, datasets)
        except MixtureError as error:
            raise MixtureError(error.what, path=error.path or path, episode=error.episode, hint=error.hint) from None

    @staticmethod
    def of(spec: MixtureSpec, datasets: Sequence[Dataset]) -> "Mixture":
        """The mixture of open data sets, one a source, whatever their digests.

        Raises:
            MixtureError: see `open`.
        """
        components = build_components(spec, datasets)
        if not components:
            raise MixtureError("every episode is held out; nothing is left to train on.", hint="Lower --holdout.")
        return _assemble(spec, datasets, components, _action_free_share(spec, components), only_labelled=False)

    def locate(self, t: int) -> WindowRef:
        """The window at global position t >= 0: a pure function, in time that does not grow with t.

        Raises:
            ValueError: t is negative.
        """
        number, index = owner(self.schedule, t)
        component = self.components[number]
        epoch, index = divmod(index, component.num_windows)
        order = permutation(component.num_windows, seed=self.spec.seed, component=component.name, epoch=epoch)
        clip, start = component.window(order[index])
        return WindowRef(
            dataset=component.dataset,
            clip=clip,
            start=start,
            labelled=component.labelled,
            component=component.name,
            epoch=epoch,
        )

    def labelled_only(self) -> "Mixture":
        """The same stream without its action-free windows: the labelled ones in the same relative order.

        Raises:
            MixtureError: there are no labelled windows.
        """
        if not any(component.labelled for component in self.components):
            raise MixtureError(
                "no window has actions.", hint="Add a data set with actions, or withhold fewer tasks (`withhold`)."
            )
        return _assemble(self.spec, self.datasets, self.components, Fraction(0), only_labelled=True)

    def training_clips(self) -> list[PlacedClip]:
        """Every clip that some position shows."""
        return [
            PlacedClip(self.datasets[component.dataset], clips[place], component.source, component.labelled)
            for component, share in zip(self.components, self.shares, strict=True)
            if share > 0
            for clips in (self.datasets[component.dataset].clips,)
            for place in component.clips.tolist()
        ]

    def held_out_clips(self) -> list[PlacedClip]:
        """Every clip of a held-out episode, labelled or not."""
        return list(self._held_out())

    def _held_out(self) -> Iterator[PlacedClip]:
        for entry, dataset in zip(self.spec.sources, self.datasets, strict=True):
            keys = set(entry.held_out)
            for clip in dataset.clips:
                if episode_key(clip.episode) in keys:
                    yield PlacedClip(dataset, clip, entry.name, is_labelled(clip, entry))


def _action_free_share(spec: MixtureSpec, components: Sequence[Component]) -> Fraction:
    """The exact share of action-free windows; checks that a pool which gets any is not empty."""
    num_labelled = sum(component.num_windows for component in components if component.labelled)
    num_action_free = sum(component.num_windows for component in components if not component.labelled)
    if spec.action_free is None:
        return Fraction(num_action_free, num_labelled + num_action_free)
    if spec.action_free > 0 and not num_action_free:
        raise MixtureError(
            f"action_free = {float(spec.action_free):g}, but every window has actions.",
            hint="Add an action-free data set, or withhold the actions of some tasks with `--withhold NAME:TASK`.",
        )
    if spec.action_free < 1 and not num_labelled:
        raise MixtureError(
            f"action_free = {float(spec.action_free):g}, but no window has actions.",
            hint="Add a data set with actions, withhold fewer tasks, or ask for `--action-free 1`.",
        )
    return spec.action_free


def _assemble(
    spec: MixtureSpec,
    datasets: Sequence[Dataset],
    components: tuple[Component, ...],
    action_free: Fraction,
    *,
    only_labelled: bool,
) -> Mixture:
    return Mixture(
        spec=spec,
        datasets=tuple(datasets),
        components=components,
        shares=_shares(components, action_free),
        digest=_digest(spec, datasets, only_labelled=only_labelled),
        schedule=_schedule(components, action_free, seed=spec.seed),
    )


def _schedule(components: Sequence[Component], action_free: Fraction, *, seed: int) -> Node:
    def pool(labelled: bool) -> Node:
        numbers = [i for i, component in enumerate(components) if component.labelled == labelled]
        weights = [components[i].weight for i in numbers]
        return balanced(numbers, weights, seed=seed, label="labelled" if labelled else "action-free")

    if action_free in (0, 1):
        return pool(action_free == 0)
    return split(action_free, pool(False), pool(True), seed=seed, label="pools")


def _shares(components: Sequence[Component], action_free: Fraction) -> tuple[Fraction, ...]:
    totals = {
        labelled: sum((c.weight for c in components if c.labelled == labelled), Fraction(0))
        for labelled in (True, False)
    }
    pool_shares = {True: 1 - action_free, False: action_free}
    return tuple(pool_shares[c.labelled] * c.weight / totals[c.labelled] for c in components)


def _digest(spec: MixtureSpec, datasets: Sequence[Dataset], *, only_labelled: bool) -> str:
    decides = {
        "order_version": ORDER_VERSION,
        "seed": spec.seed,
        "action_free": None if spec.action_free is None else str(spec.action_free),
        "exhaustion": spec.exhaustion,
        "only_labelled": only_labelled,
        "sources": [
            {
                "name": entry.name,
                "digest": dataset.digest,
                "weight": None if entry.weight is None else str(entry.weight),
                "withhold": sorted(set(entry.withhold)),
                "held_out": sorted(set(entry.held_out)),
            }
            for entry, dataset in zip(spec.sources, datasets, strict=True)
        ],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
