"""A data set in, the same with other words in its episodes out."""

from pathlib import Path

from vpdata.schema import Scalar
from vpdata.sets.labels import Labels
from vpdata.sets.operations import relabel
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset


def with_attributes(folder: Path, out: Path, query: str = "", **attributes: Scalar) -> Dataset:
    """The data set whose episodes, or those that the query finds, say these things too."""
    write(relabel(Dataset.open(folder), Labels(attributes=attributes), query=query), out)
    return Dataset.open(out)
