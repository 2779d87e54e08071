"""The model sizes: `SVD` is the method's, `TINY` trains on two CPU cores without a download."""

from vptrain.config import (
    AutoencoderConfig,
    EncoderConfig,
    HeadConfig,
    ModelConfig,
    SamplingConfig,
    Stage,
    TextConfig,
    UNetConfig,
)
from vptrain.errors import VptrainError

SVD = ModelConfig()

TINY = ModelConfig(
    name="tiny",
    cameras=("wrist", "front", "left", "right"),
    num_frames=4,
    stride=4,
    horizon=16,
    image_size=64,
    pretrained="embedded",
    unet=UNetConfig(
        block_out_channels=(64, 64, 128, 128),
        layers_per_block=1,
        num_attention_heads=(2, 2, 4, 4),
        addition_embed_dim=32,
        norm_groups=8,
    ),
    autoencoder=AutoencoderConfig(
        block_out_channels=(32, 64, 64, 64), layers_per_block=1, latent_channels=16, scaling_factor=0.912
    ),
    text=TextConfig(kind="hashed", dim=64),
    encoder=EncoderConfig(
        stem=Stage(planes=64, groups=4),
        taps=(Stage(planes=32, groups=4),) * 4,
        merged=(Stage(planes=96, groups=4),) * 4,
        tail=(Stage(planes=64, groups=4),),
        fusion=(Stage(planes=128, groups=4),),
        body_groups=4,
        body_stages=0,
        temporal_stages=2,
        temporal_blocks=1,
        output_groups=4,
    ),
    head=HeadConfig(widths=(64, 128, 128), groups=8, time_dim=64),
    sampling=SamplingConfig(num_steps=4, video_steps=1, guidance=1.0),
)

_BY_NAME = {config.name: config for config in (SVD, TINY)}


def model_config(name: str) -> ModelConfig:
    """The configuration with that name.

    Raises:
        VptrainError: there is none.
    """
    if name not in _BY_NAME:
        raise VptrainError(f"there is no model {name!r}.", hint=f"Choose one of {', '.join(_BY_NAME)}.")
    return _BY_NAME[name]
