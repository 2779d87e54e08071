"""A data set in, its episodes counted by a value of their attributes out; reads the index and no shard."""

import json
from dataclasses import dataclass

import numpy as np

from vpdata.shards.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The episodes of one source with the same value of an attribute; `name` is "" where they have none."""

    name: str
    source: str
    num_episodes: int


def parts_of(dataset: Dataset, attribute: str) -> tuple[Part, ...]:
    """How many episodes of each source have which value of an attribute, the most frequent first."""
    index = dataset.index
    attributes, sources = index.codes("attributes"), index.codes("source")
    values = [str(json.loads(text).get(attribute, "")) for text in attributes.values]
    _, episodes = np.unique(index.codes("content_digest").codes, return_index=True)
    pairs = zip(attributes.codes[episodes].tolist(), sources.codes[episodes].tolist(), strict=True)
    counts: dict[tuple[str, str], int] = {}
    for attribute_code, source_code in pairs:
        found = values[attribute_code], sources.values[source_code]
        counts[found] = counts.get(found, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Part(name=name, source=source, num_episodes=count) for (name, source), count in ordered)
