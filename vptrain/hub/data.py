"""A run that trained a model in; the data sets of its mixture, where they are for everyone, and their licences out."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from vpdata.errors import MixtureError, ShardError
from vpdata.hub.facts import parts_of
from vpdata.hub.licences import ATTRIBUTE
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.spec import MixtureSpec
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import ORIGIN_NAME
from vptrain.checkpoint import Training

_PUBLIC = ("hf://", "http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """One data set of a mixture.

    Attributes:
        name: in the mixture.
        url: where it is for everyone, on the Hub with its commit; "" if it is only here as far as one can tell.
        digest: of the data set.
        num_episodes: that it holds.
        licences: what its episodes say of theirs; "" for those that say nothing.
    """

    name: str
    url: str
    digest: str
    num_episodes: int
    licences: tuple[str, ...]

    @property
    def repo_id(self) -> str:
        """`USER/NAME` on the Hub, "" elsewhere."""
        found = self.url.removeprefix("hf://datasets/") if self.url.startswith("hf://datasets/") else ""
        return "/".join(found.partition("@")[0].split("/")[:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What a run was trained on.

    Attributes:
        training: the run.
        sources: of its mixture; empty where they cannot be told.
        mixture: its mixture file's text with every data set where it is for everyone; "" likewise.
        unknown: why they cannot be told.
    """

    training: Training
    sources: tuple[SourceFacts, ...] = ()
    mixture: str = ""
    unknown: str = ""


def data_of(training: Training) -> DataFacts:
    """Reads the mixture of a run again, if it is still the one that the run was trained on."""
    if training.place.startswith("hf://"):
        return DataFacts(training=training, unknown="See the card of that model.")
    if not training.digest:
        return DataFacts(training=training, unknown="Its weights were converted from a public checkpoint.")
    try:
        mixture = Mixture.open(Path(training.mixture))
        if training.stage != "stage1":
            mixture = mixture.labelled_only()
    except (MixtureError, ShardError):
        return DataFacts(training=training, unknown="Its mixture, or a data set of it, is not at hand any more.")
    if mixture.digest != training.digest:
        return DataFacts(training=training, unknown="Its mixture, or a data set of it, has changed since.")
    places = [_public(dataset) for dataset in mixture.datasets]
    return DataFacts(
        training=training,
        sources=tuple(
            _source(entry.name, url, dataset)
            for entry, url, dataset in zip(mixture.spec.sources, places, mixture.datasets, strict=True)
        ),
        mixture=_published(mixture.spec, places).to_toml(),
    )


def _source(name: str, url: str, dataset: Dataset) -> SourceFacts:
    parts = parts_of(dataset, ATTRIBUTE)
    return SourceFacts(
        name=name,
        url=url,
        digest=dataset.digest,
        num_episodes=dataset.manifest.num_episodes,
        licences=tuple(dict.fromkeys(part.name for part in parts)),
    )


def _public(dataset: Dataset) -> str:
    """The URL of a data set, or the one that a folder was pulled from whole."""
    place = dataset.place
    origin = Path(place) / ORIGIN_NAME
    if origin.is_file():
        said = json.loads(origin.read_text())
        place = said["url"] if said["digest"] == dataset.digest else ""
    return place if place.startswith(_PUBLIC) else ""


def _published(spec: MixtureSpec, places: list[str]) -> MixtureSpec:
    """With paths that say nothing of this machine."""
    pairs = zip(spec.sources, places, strict=True)
    return replace(spec, sources=tuple(replace(source, path=url or source.name) for source, url in pairs))
