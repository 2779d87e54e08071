"""The image autoencoder: diffusers' `AutoencoderKLTemporalDecoder`, built from our configuration.

Sizes enter, the module leaves; or images enter, the posteriors of their latents leave.
"""

import hashlib

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor, nn

from vptrain.config import AutoencoderConfig


def build_autoencoder(config: AutoencoderConfig) -> AutoencoderKLTemporalDecoder:
    """A randomly initialised autoencoder of the given sizes."""
    return AutoencoderKLTemporalDecoder(
        latent_channels=config.latent_channels,
        block_out_channels=config.block_out_channels,
        down_block_types=("DownEncoderBlock2D",) * len(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        scaling_factor=config.scaling_factor,
    )


def compile_encoder(autoencoder: AutoencoderKLTemporalDecoder) -> None:
    """Compiles what makes latents of images, once for every number of images."""
    autoencoder.encoder.forward = torch.compile(autoencoder.encoder.forward, dynamic=False)


@torch.no_grad()
def posteriors(autoencoder: nn.Module, images_NCHW: Tensor, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Mean, which is the mode, and log variance of the latents of images in [-1, 1], each (N, C, h, w), not scaled.

    So many images as `chunk` are encoded at once, which bounds the memory and changes nothing else.
    """
    found = [autoencoder.encode(part).latent_dist for part in torch.split(images_NCHW, chunk)]  # type: ignore[operator]
    return torch.cat([one.mean for one in found]), torch.cat([one.logvar for one in found])


def tensors_digest(module: nn.Module) -> str:
    """Hex SHA-256 of a module's tensors: their names, shapes and values as float32."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()
