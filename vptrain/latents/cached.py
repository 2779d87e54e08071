"""A folder of latents and a mixture in; the data sets to train on in place of the mixture's own out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vpdata.errors import ShardError
from vpdata.loader.window import LatentSpec, WindowSpec
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vptrain.config import from_dict
from vptrain.errors import VptrainError
from vptrain.latents.recipe import DTYPES, LatentRecipe, Wanted
from vptrain.latents.write import VERB

HINT = "Make latents for this run with `vptrain latents`, or train without --latents."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CachedLatents:
    """Latents of all data sets of a mixture.

    Attributes:
        datasets: one for each of the mixture's, with the same clips in the same order.
        recipe: how all of them were made.
        digest: hex SHA-256 over their digests.
    """

    datasets: tuple[Dataset, ...]
    recipe: LatentRecipe
    digest: str

    @staticmethod
    def open(folder: Path, mixture: Mixture, wanted: Wanted) -> "CachedLatents":
        """Opens FOLDER/<source> for every source of the mixture.

        Raises:
            VptrainError: they are of other data, or made otherwise than the run wants; says what differs.
            ShardError: one is missing or damaged.
        """
        datasets, recipes = [], []
        for entry, source in zip(mixture.spec.sources, mixture.datasets, strict=True):
            dataset = _opened(folder / entry.name)
            arguments = _arguments(dataset, source)
            recipe = from_dict(LatentRecipe, dict(arguments))
            differences = recipe.differences(wanted)
            if differences:
                what = f"these latents are of another kind: {'; '.join(differences)}."
                raise VptrainError(what, path=dataset.place, hint=HINT)
            datasets.append(dataset)
            recipes.append(recipe)
        if len(set(recipes)) > 1:
            what = "the sources' latents were made in different ways, such as other --variants or --dtype."
            raise VptrainError(what, path=folder, hint="Make them again with one command.")
        digest = hashlib.sha256("\n".join(dataset.digest for dataset in datasets).encode()).hexdigest()
        return CachedLatents(datasets=tuple(datasets), recipe=recipes[0], digest=digest)

    def window_spec(self, spec: WindowSpec, *, seed: int) -> WindowSpec:
        """The same windows with latents; each position shows a variant that follows from it and the seed."""
        shape, num_variants = self.recipe.shape_in_bytes, self.recipe.num_variants
        return replace(spec, latents=LatentSpec(shape=shape, num_variants=num_variants, seed=seed))

    @property
    def dtype(self) -> torch.dtype:
        """Of the numbers."""
        return DTYPES[self.recipe.dtype]


def _opened(folder: Path) -> Dataset:
    try:
        return Dataset.open(folder)
    except ShardError as error:
        raise ShardError(error.what, path=error.path, hint="Make it with `vptrain latents`.") from error


def _arguments(dataset: Dataset, source: Dataset) -> Mapping[str, Any]:
    """What the manifest says of how the latents of this source were made."""
    operation = dataset.manifest.operation
    if operation is None or operation.verb != VERB:
        raise VptrainError("this data set holds no latents.", path=dataset.place, hint=HINT)
    (made_of,) = operation.inputs
    if made_of.digest != source.digest:
        raise VptrainError(
            f"these latents are of other data: of a data set with digest {made_of.digest[:12]}… where the mixture has "
            f"{source.digest[:12]}… ({source.place}).",
            path=dataset.place,
            hint=HINT,
        )
    return operation.arguments
