"""The image autoencoder: diffusers' `AutoencoderKLTemporalDecoder`, built from our configuration.

Sizes enter, the module leaves. `VideoPolicy` encodes and decodes with it.
"""

from diffusers import AutoencoderKLTemporalDecoder

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
