"""The frames of one camera of a clip in, the numbers that training needs of them out, variant by variant."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vpdata.loader.device import resize_batch
from vptrain.augment import color_jitter, jitter_draws
from vptrain.draws import Draws
from vptrain.errors import VptrainError
from vptrain.latents.recipe import DTYPES, LatentRecipe
from vptrain.models.autoencoder import posteriors
from vptrain.normalize import images_to_unit


class LatentEncoder:
    """An autoencoder at work on one device.

    A variant of a camera in a clip has one draw of colour jitter for all frames, so that every window of the clip is
    consistent, and a draw of noise for each frame. They follow from the recipe's seed, the clip's key, the camera, the
    variant and the frame; a CPU and a GPU draw different noise.
    """

    def __init__(self, autoencoder: nn.Module, recipe: LatentRecipe, *, device: torch.device, chunk: int) -> None:
        """Moves the autoencoder to the device; `chunk` is how many frames it encodes at once."""
        self._autoencoder = autoencoder.to(device).eval()
        self._recipe, self._chunk = recipe, chunk
        self.device = device

    def encode(self, frames: NDArray[np.uint8], *, key: str, camera: str) -> list[NDArray[np.generic]]:
        """For each variant (T, 3, C, h, w): mean and log variance of each frame's posterior, mode of the noised frame.

        Args:
            frames: RGB (T, H, W, 3), as stored: all of the clip's.
            key: of the clip.
            camera: whose frames these are.

        Returns:
            Arrays of the recipe's dtype; bf16 as the uint16 with the same bits.

        Raises:
            VptrainError: a number is not finite in that dtype.
        """
        recipe = self._recipe
        pixels = torch.from_numpy(frames).to(self.device)
        size = recipe.image_size
        pictures = images_to_unit(resize_batch(pixels, height=size, width=size, fit="crop"))
        return [
            _stored(self._variant(pictures, place=f"{key}:{camera}:{variant}"), recipe, key=key, camera=camera)
            for variant in range(recipe.num_variants)
        ]

    def _variant(self, pictures_TCHW: Tensor, *, place: str) -> Tensor:
        """(T, 3, C, h, w) float32, on the device."""
        recipe, shown = self._recipe, pictures_TCHW
        if any(recipe.color_jitter):
            position = int.from_bytes(hashlib.blake2b(place.encode(), digest_size=16).digest(), "little")
            shown = color_jitter(shown[None, None], jitter_draws(recipe.seed, [position], num_cameras=1))[0, 0]
        draws = Draws(seed=f"{recipe.seed}:{place}", keys=tuple(range(len(shown))), device=self.device)
        noised = shown + recipe.condition_noise * draws.normal("first frames", shown.shape[1:])
        precision = recipe.precision
        with torch.autocast(self.device.type, dtype=DTYPES[precision], enabled=precision != "fp32"):
            mean, log_variance = posteriors(self._autoencoder, shown, chunk=self._chunk)
            mode, _ = posteriors(self._autoencoder, noised, chunk=self._chunk)
        return torch.stack([mean, log_variance, mode], dim=1).float()


def _stored(numbers: Tensor, recipe: LatentRecipe, *, key: str, camera: str) -> NDArray[np.generic]:
    cast = numbers.to(DTYPES[recipe.dtype]).contiguous()
    if not cast.isfinite().all():
        raise VptrainError(
            f"latents of camera {camera} are not finite as {recipe.dtype}.",
            episode=key,
            hint="Take another --dtype (bf16 and fp32 have the widest range) or --precision fp32.",
        )
    if cast.dtype == torch.bfloat16:  # which NumPy does not have
        bits: NDArray[np.generic] = cast.view(torch.int16).cpu().numpy().view(np.uint16)
        return bits
    values: NDArray[np.generic] = cast.cpu().numpy()
    return values
