"""The smallest model that has every part, and how the tests train it."""

from dataclasses import replace
from pathlib import Path

from vptrain.config import (
    AutoencoderConfig,
    EncoderConfig,
    HeadConfig,
    ModelConfig,
    RunConfig,
    SamplingConfig,
    Stage,
    TextConfig,
    UNetConfig,
)
from vptrain.training.start import start_stage1, start_stage2
from vptrain.training.trainer import Progress

MICRO = ModelConfig(
    name="micro",
    cameras=("wrist", "left", "right"),
    num_frames=3,
    stride=4,
    horizon=8,
    image_size=64,
    pretrained="random",
    unet=UNetConfig(
        block_out_channels=(32, 32, 32, 32), layers_per_block=1, num_attention_heads=(1, 1, 1, 1), addition_embed_dim=8
    ),
    autoencoder=AutoencoderConfig(
        block_out_channels=(32, 32, 32, 32), layers_per_block=1, latent_channels=4, scaling_factor=0.5
    ),
    text=TextConfig(kind="hashed", dim=16),
    encoder=EncoderConfig(
        stem=Stage(planes=32, groups=2),
        taps=(Stage(planes=16, groups=2),) * 4,
        merged=(Stage(planes=32, groups=2),) * 4,
        tail=(Stage(planes=16, groups=2),),
        fusion=(Stage(planes=32, groups=2),),
        body_groups=2,
        temporal_stages=1,
        output_groups=4,
    ),
    head=HeadConfig(widths=(16, 32), kernel_size=3, groups=4, time_dim=16),
    sampling=SamplingConfig(num_steps=3, guidance=1.0),
)

STAGE1 = RunConfig(
    stage="stage1",
    steps=3,
    batch_size=3,
    learning_rate=1e-3,
    checkpoint_every=3,
    evaluate_every=3,
    num_workers=0,
    trackers=(),
)
STAGE2 = replace(STAGE1, stage="stage2")


def silent(_: Progress) -> None:
    """Reports to nobody."""


def train_stage1(mixture_file: Path, folder: Path, run: RunConfig = STAGE1) -> Path:
    """A whole run of stage 1, and its folder."""
    start_stage1(mixture_file, folder, model=MICRO, run=run, device="cpu").train(silent)
    return folder


def train_stage2(mixture_file: Path, folder: Path, stage1: Path, run: RunConfig = STAGE2) -> Path:
    """A whole run of stage 2 on top of one of stage 1, and its folder."""
    start_stage2(mixture_file, folder, stage1=stage1, run=run, device="cpu").train(silent)
    return folder
