"""How the tests make latents; run as a program, `python making.py MIXTURE OUT`, to be killed while it does."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from micro import MICRO

from vpdata.mixture.mixture import Mixture
from vptrain.config import ModelConfig
from vptrain.latents.encode import LatentEncoder
from vptrain.latents.recipe import LatentRecipe
from vptrain.latents.write import LatentPlan, write
from vptrain.models.autoencoder import tensors_digest
from vptrain.models.pretrained import initial_policy

CHUNK = 16
QUIET = replace(MICRO, condition_noise=0.0)
"""Without noise on first frames, latents made in advance say all that pictures do."""


def recipe_of(model: ModelConfig = MICRO, *, weights: int = 0, **options: Any) -> LatentRecipe:
    """For the random weights of a seed; one variant without jitter in float32, unless told otherwise."""
    digest = tensors_digest(initial_policy(model, seed=weights).autoencoder)
    return LatentRecipe.of(
        model, autoencoder=digest, **{"color_jitter": False, "num_variants": 1, "dtype": "fp32"} | options
    )


def encoder_of(recipe: LatentRecipe, model: ModelConfig = MICRO, *, weights: int = 0) -> LatentEncoder:
    autoencoder = initial_policy(model, seed=weights).autoencoder
    return LatentEncoder(autoencoder, recipe, device=torch.device("cpu"), chunk=CHUNK)


def make(mixture_file: Path, out: Path, model: ModelConfig = MICRO, *, weights: int = 0, **options: Any) -> Path:
    """Latents of all sources of a mixture, as `vptrain latents` makes them."""
    recipe = recipe_of(model, weights=weights, **options)
    encoder = encoder_of(recipe, model, weights=weights)
    mixture = Mixture.open(mixture_file)
    for entry, dataset in zip(mixture.spec.sources, mixture.datasets, strict=True):
        write(LatentPlan(source=dataset, recipe=recipe), out / entry.name, encoder, num_workers=1)
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    make(Path(sys.argv[1]), Path(sys.argv[2]), QUIET)
