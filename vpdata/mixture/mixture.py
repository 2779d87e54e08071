"""A mixture file enters; the window at every global position leaves, as a pure function of the file and the data."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vpdata.errors import EndOfStream, MixtureError
from vpdata.mixture.components import Component, build_components
from vpdata.mixture.curriculum import Curriculum
from vpdata.mixture.schedule import Node, expected, owner
from vpdata.mixture.selection import select
from vpdata.mixture.spec import MixtureSpec
from vpdata.mixture.stream import action_free_share, build_stream, is_shown
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset
from vpdata.shards.store import is_url

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
        action_free: the share of action-free windows at every position.
        num_positions: the stream's length; None: it has no end.
        digest: hex SHA-256 of all that decides the order: equal digests, equal windows at every position.
    """

    spec: MixtureSpec
    datasets: tuple[Dataset, ...]
    components: tuple[Component, ...]
    action_free: Curriculum
    num_positions: int | None
    digest: str
    schedule: Node

    @staticmethod
    def open(path: Path, *, allow_changed: bool = False) -> "Mixture":
        """Opens a mixture file and the data sets that it names.

        Args:
            path: the TOML file.
            allow_changed: take a data set as it is even though its digest is not the one in the file, or tasks and
                episodes are gone that the file withholds or holds out; the order, and so the mixture's digest, is then
                another one.

        Raises:
            MixtureError: the file is wrong, a data set has changed, or a pool with a share of the stream is empty.
            ShardError: a data set is missing or damaged.
        """
        spec = MixtureSpec.read(path)
        datasets = tuple(
            Dataset.open(
                entry.path if is_url(entry.path) else (path.parent / entry.path).resolve(), digest=entry.digest
            )
            for entry in spec.sources
        )
        for entry, dataset in zip(spec.sources, datasets, strict=True):
            if dataset.digest != entry.digest and not allow_changed:
                places = " ".join(dataset.place for dataset in datasets)
                raise MixtureError(
                    f"the data set of source {entry.name} has changed: its digest is {dataset.digest[:12]}…, "
                    f"the mixture was made with {entry.digest[:12]}….",
                    path=path,
                    hint=f"Make the mixture again (`vpdata mix {places} --out {path} --force`, with your options), "
                    "or pass --allow-changed-data to take the data as they are, in another order.",
                )
        try:
            return Mixture.of(spec, datasets, allow_missing=allow_changed)
        except MixtureError as error:
            raise MixtureError(error.what, path=error.path or path, episode=error.episode, hint=error.hint) from None

    @staticmethod
    def of(spec: MixtureSpec, datasets: Sequence[Dataset], *, allow_missing: bool = False) -> "Mixture":
        """The mixture of open data sets, one a source, whatever their digests.

        Args:
            spec: what the file says.
            datasets: one a source.
            allow_missing: let withheld tasks and held-out episodes pass that are not there.

        Raises:
            MixtureError: see `open`.
        """
        components = build_components(spec, datasets, allow_missing=allow_missing)
        if not components:
            raise MixtureError("every episode is held out; nothing is left to train on.", hint="Lower --holdout.")
        return _assemble(spec, datasets, components, action_free_share(spec, components))

    def locate(self, t: int, *, attempt: int = 0) -> WindowRef:
        """The window at global position t >= 0: a pure function, in time that does not grow with t.

        Args:
            t: the position.
            attempt: k > 0 for what is shown when attempts 0 to k - 1 were damaged: the same component's window k places
                further in that epoch's order, from its beginning again after its end. Other positions stay as they are.

        Raises:
            EndOfStream: t is not below `num_positions`.
            ValueError: t or the attempt is negative.
        """
        if self.num_positions is not None and t >= self.num_positions:
            raise EndOfStream(
                f"the stream ends after {self.num_positions} windows; there is none at position {t}.",
                hint='Train for fewer steps, or make the mixture with `--exhaustion "repeat"`.',
            )
        number, index = owner(self.schedule, t)
        component = self.components[number]
        epoch, place = divmod(index, component.num_windows)
        if attempt:
            if attempt < 0:
                raise ValueError(f"attempt {attempt} is negative")
            place = (place + attempt) % component.num_windows
        clip, start = component.window(component.order(epoch, seed=self.spec.seed)[place])
        return WindowRef(
            dataset=component.dataset,
            clip=clip,
            start=start,
            labelled=component.labelled,
            component=component.name,
            epoch=epoch,
        )

    def expected(self, stop: int) -> tuple[Fraction, ...]:
        """How many of positions [0, stop) each component should get, exactly: what rounding to whole windows hides."""
        counts = expected(self.schedule, Fraction(stop))
        return tuple(counts.get(i, Fraction(0)) for i in range(len(self.components)))

    def labelled_only(self) -> "Mixture":
        """The same stream without its action-free windows: the labelled ones in the same relative order.

        Raises:
            MixtureError: there are no labelled windows.
        """
        if not any(component.labelled for component in self.components):
            raise MixtureError(
                "no window has actions.", hint="Add a data set with actions, or withhold fewer tasks (`withhold`)."
            )
        return _assemble(self.spec, self.datasets, self.components, Curriculum.constant(Fraction(0)))

    def training_clips(self) -> list[PlacedClip]:
        """Every clip that some position shows."""
        return [
            PlacedClip(dataset, dataset.index.clip(place), component.source, component.labelled)
            for component in self.components
            if is_shown(component, self.action_free)
            for dataset in (self.datasets[component.dataset],)
            for place in component.clips.tolist()
        ]

    def held_out_clips(self) -> list[PlacedClip]:
        """Every clip of a held-out episode, labelled or not, that its source's query keeps."""
        placed = []
        for entry, dataset in zip(self.spec.sources, self.datasets, strict=True):
            selection = select(entry, dataset, seed=self.spec.seed, allow_missing=True)
            for place in np.flatnonzero(selection.kept & selection.held_out).tolist():
                labelled = bool(selection.labelled[place])
                placed.append(PlacedClip(dataset, dataset.index.clip(place), entry.name, labelled))
        return placed


def _assemble(
    spec: MixtureSpec, datasets: Sequence[Dataset], components: tuple[Component, ...], action_free: Curriculum
) -> Mixture:
    schedule, num_positions = build_stream(components, action_free, exhaustion=spec.exhaustion, seed=spec.seed)
    return Mixture(
        spec=spec,
        datasets=tuple(datasets),
        components=components,
        action_free=action_free,
        num_positions=num_positions,
        digest=_digest(spec, datasets, components, action_free),
        schedule=schedule,
    )


def _digest(
    spec: MixtureSpec, datasets: Sequence[Dataset], components: Sequence[Component], action_free: Curriculum
) -> str:
    """Of the order itself, not of how the file puts it: two ways to write one mixture have one digest."""
    shown = [component for component in components if is_shown(component, action_free)]
    totals = {
        labelled: sum((c.weight for c in shown if c.labelled == labelled), Fraction(0)) for labelled in (True, False)
    }
    decides = {
        "order_version": ORDER_VERSION,
        "seed": spec.seed,
        "exhaustion": spec.exhaustion,
        "action_free": [(piece.start, str(piece.share), str(piece.slope)) for piece in action_free.pieces()],
        "components": [
            {
                "name": component.name,
                "data": datasets[component.dataset].digest,
                "clips": hashlib.sha256(component.clips.astype("<i8").tobytes()).hexdigest(),
                "share": str(component.weight / totals[component.labelled]),
                "block_shards": component.blocks and component.blocks.block_shards,
            }
            for component in shown
        ],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
