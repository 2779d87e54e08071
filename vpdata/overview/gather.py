"""Data sets, curation folders and found duplicates in, an `Overview` out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vpdata import __version__
from vpdata.overview.contents import describe
from vpdata.overview.curated import Curated
from vpdata.overview.duplicates import describe_duplicates
from vpdata.overview.facts import DatasetFacts, Overview
from vpdata.overview.footage import sample
from vpdata.shards.dataset import Dataset


def gather(
    datasets: Sequence[Dataset],
    *,
    curations: Sequence[Path],
    duplicates: Sequence[Path] = (),
    num_windows: int,
    seed: int,
    advance: Callable[[int], object] = lambda _: None,
) -> Overview:
    """Reads and measures everything that an overview says.

    A data set of spans that one of the curations kept takes its looks from what was measured then. Of the others,
    `num_windows` windows are decoded; for 0 they have no looks.

    Args:
        datasets: described in this order.
        curations: folders that `vpdata curate` made.
        duplicates: files with what `vpdata duplicates --json` printed.
        num_windows, seed: see `vpdata.overview.footage.sample`.
        advance: called with 1 for every window that was decoded.

    Raises:
        ShardError: a data set has no clips or is damaged.
        VpdataError: a curation is missing or damaged, or what a search for duplicates found is, or out of date.
    """
    curated = [Curated(folder) for folder in curations]

    def facts(dataset: Dataset) -> DatasetFacts:
        contents = describe(dataset)
        measured = next((footage for one in curated if (footage := one.footage(dataset)) is not None), None)
        if measured is None and num_windows:
            measured = sample(dataset, num_windows=num_windows, seed=seed, advance=advance)
        return replace(contents, footage=measured)

    return Overview(
        tool_version=__version__,
        datasets=tuple(facts(dataset) for dataset in datasets),
        curations=tuple(one.describe() for one in curated),
        duplicates=tuple(describe_duplicates(path) for path in duplicates),
    )
