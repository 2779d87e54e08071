"""The configuration of a model.

Numbers of the `svd` size are those of the method's public implementation; nothing about them is a literal elsewhere.
"""

from dataclasses import dataclass, field
from typing import Literal

from vptrain.config.ranges import check_least
from vptrain.errors import VptrainError


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetConfig:
    """Sizes of diffusers' `UNetSpatioTemporalConditionModel` with four levels; widths are multiples of 32.

    `norm_groups` replaces diffusers' 32 in every GroupNorm: with as many groups as channels a norm would erase each
    channel's mean and contrast, and with it the colours of a scene.
    """

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    num_attention_heads: tuple[int, ...] = (5, 10, 20, 20)
    addition_embed_dim: int = 256
    norm_groups: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig:
    """Sizes of diffusers' `AutoencoderKLTemporalDecoder`; one spatial halving a level but the last."""

    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    latent_channels: int = 4
    scaling_factor: float = 0.18215

    @property
    def downscale(self) -> int:
        """Pixels a latent cell spans in each direction."""
        return int(2 ** (len(self.block_out_channels) - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """The frozen text encoder: `clip` is a transformers CLIP text model with projection, `hashed` needs no weights."""

    kind: Literal["clip", "hashed"] = "clip"
    dim: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Output channels of a stage of bottleneck blocks, and the groups of its inner normalisation."""

    planes: int
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """The vision encoder: one tower a camera over five UNet features, then a fusion of all cameras.

    Attributes:
        stem: stage over the finest feature.
        taps: stages over the four coarser features, finest first.
        merged: stages after each concatenation with a tap, in the same order; the first two halve the resolution.
        tail: further stages of a tower.
        fusion: stages over the concatenated towers.
        body_groups: of the blocks after the fusion, which keep its channels and have expansion 2.
        body_stages: stages of two such blocks.
        temporal_stages, temporal_blocks: stages of so many blocks that halve time.
        output_groups: groups of the final normalisation.
    """

    stem: Stage = Stage(planes=320, groups=10)
    taps: tuple[Stage, ...] = (
        Stage(planes=320, groups=10),
        Stage(planes=640, groups=10),
        Stage(planes=640, groups=10),
        Stage(planes=640, groups=10),
    )
    merged: tuple[Stage, ...] = (
        Stage(planes=640, groups=10),
        Stage(planes=1280, groups=10),
        Stage(planes=1280, groups=10),
        Stage(planes=1280, groups=10),
    )
    tail: tuple[Stage, ...] = (Stage(planes=864, groups=8), Stage(planes=576, groups=6))
    fusion: tuple[Stage, ...] = (
        Stage(planes=1280, groups=10),
        Stage(planes=960, groups=8),
        Stage(planes=720, groups=6),
        Stage(planes=540, groups=5),
        Stage(planes=420, groups=5),
    )
    body_groups: int = 7
    body_stages: int = 2
    temporal_stages: int = 3
    temporal_blocks: int = 4
    output_groups: int = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """The action head, a 1-D U-Net over the horizon."""

    widths: tuple[int, ...] = (256, 512, 1024)
    kernel_size: int = 5
    groups: int = 8
    time_dim: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """Defaults of the sampler: Euler on the Karras schedule, constant guidance on video and actions.

    Attributes:
        num_steps: of video and actions.
        video_steps: None denoises video and actions together; n reads the actions off the video's n-th step, for
            policies trained with `high_log_sigma_mean`.
    """

    num_steps: int = 30
    video_steps: int | None = None
    sigma_max: float = 700.0
    sigma_min: float = 0.002
    rho: float = 7.0
    guidance: float = 2.0

    def __post_init__(self) -> None:
        check_least(self, {"num_steps": 1, "guidance": 0, "sigma_min": 0, "sigma_max": 0})
        if self.video_steps is not None and not 1 <= self.video_steps <= self.num_steps:
            raise VptrainError(f"video_steps {self.video_steps} is not in [1, {self.num_steps}], the sampler's steps.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Everything that decides the shape and the meaning of a model.

    Attributes:
        cameras: canonical names; a tower of the action head each, in this order.
        num_frames: frames of each camera in a window.
        stride: recorded frames between two of them.
        horizon: actions in a window; `num_frames * stride` in the method.
        action_space: name in `vpdata.spaces` of what the head predicts.
        image_size: pixels, square.
        num_taps: UNet features that the action head sees, the finest first; five in the method.
        time_ids: fps, motion bucket and noise augmentation as the UNet's added ids.
        condition_noise: standard deviation of the noise on the first frames, in pixels scaled to [-1, 1].
        pretrained: where stage 1 starts: a folder or Hub repository in diffusers' Stable Video Diffusion layout, the
            original `svd_xt.safetensors`, `embedded` for the autoencoder that this package carries and a random UNet,
            or `random`.
    """

    name: str = "svd"
    cameras: tuple[str, ...] = ("wrist", "left", "right")
    num_frames: int = 8
    stride: int = 4
    horizon: int = 32
    action_space: str = "osc_pose_action"
    image_size: int = 256
    num_taps: int = 5
    time_ids: tuple[float, ...] = (6.0, 100.0, 0.02)
    condition_noise: float = 0.02
    pretrained: str = "stabilityai/stable-video-diffusion-img2vid-xt"
    unet: UNetConfig = field(default_factory=UNetConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    text: TextConfig = field(default_factory=TextConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        check_least(self, {"num_frames": 1, "stride": 1, "horizon": 1, "image_size": 1, "condition_noise": 0})
        if not self.cameras or len(set(self.cameras)) < len(self.cameras) or "" in self.cameras:
            raise VptrainError(f"cameras {', '.join(self.cameras) or 'none'} are not distinct names.")
        if not 1 <= self.num_taps <= len(self.encoder.taps) + 1:
            raise VptrainError(f"num_taps {self.num_taps} is not in [1, {len(self.encoder.taps) + 1}].")
        cell = self.autoencoder.downscale * 2 ** (len(self.unet.block_out_channels) - 1)
        if self.image_size % cell:
            raise VptrainError(f"image size {self.image_size} is not a multiple of {cell}, which the UNet needs.")

    @property
    def latent_size(self) -> int:
        """Cells of a latent frame in each direction."""
        return self.image_size // self.autoencoder.downscale

    def latent_shape(self, num_frames: int) -> tuple[int, int, int, int]:
        """(T, C, H, W) of so many frames' latents."""
        return (num_frames, self.autoencoder.latent_channels, self.latent_size, self.latent_size)

    @property
    def span(self) -> int:
        """Recorded frames that a window covers."""
        return max((self.num_frames - 1) * self.stride + 1, self.horizon)
