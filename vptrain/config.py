"""The configuration of a model and of a run: frozen, typed, and the same shape for every size.

Numbers of the `svd` size are those of the method's public implementation; nothing about them is a literal elsewhere.
`to_dict` and `from_dict` are inverse and are what checkpoints carry.
"""

import dataclasses
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from vptrain.errors import VptrainError

T = TypeVar("T")


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
        if not 1 <= self.num_taps <= len(self.encoder.taps) + 1:
            raise VptrainError(f"num_taps {self.num_taps} is not in [1, {len(self.encoder.taps) + 1}].")
        cell = self.autoencoder.downscale * 2 ** (len(self.unet.block_out_channels) - 1)
        if self.image_size % cell:
            raise VptrainError(f"image size {self.image_size} is not a multiple of {cell}, which the UNet needs.")

    @property
    def latent_size(self) -> int:
        """Cells of a latent frame in each direction."""
        return self.image_size // self.autoencoder.downscale

    @property
    def span(self) -> int:
        """Recorded frames that a window covers."""
        return max((self.num_frames - 1) * self.stride + 1, self.horizon)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """How to train one stage.

    Attributes:
        stage: `stage1` trains the video UNet on every window, `stage2` encoder and head on labelled ones with the UNet
            frozen, `joint` all three on labelled ones.
        steps: optimizer steps.
        batch_size: windows a step.
        learning_rate: of the video UNet in stage 1 and joint training, of encoder and head in stage 2.
        head_rate_factor: encoder and head learn at this times `learning_rate` in joint training.
        warmup_steps: steps of linear warm-up; a cosine decays to zero at the last step if `decay` is set.
        drop_rate: probability of dropping text, and independently the first-frame latents.
        drop: `clip` drops them for a whole window, which is what guidance asks the model for; `frame`, as the
            reference, for each frame by itself.
        log_sigma_mean, log_sigma_std: ln sigma is normal with these.
        high_log_sigma_mean: if set, the video's ln sigma is normal about this in stage 2 and joint training, and the
            actions' sigma is drawn by itself as above: for policies that look at one noisy video step.
        high_log_sigma_std: the standard deviation that goes with it.
        reuse: optimizer steps that stage 2 takes on the features of each window. The frozen UNet sees every window
            once for one draw of noise; its features then serve so many steps, each with new noise on the actions.
        reuse_block: batches whose features are kept at a time, and visited in a new random order on each pass.
        gradient_stop: `paper` keeps the actions' gradients out of the UNet in joint training, `reference` does not.
        padding: actions past the episode's end are left out of the loss (`mask`), or are zeros before normalising
            that the head must learn (`zero`, as the reference).
        clip_norm: gradient norm is clipped to it, None for never.
        color_jitter: brightness, contrast, saturation and hue, one draw a camera and window.
        checkpoint_every: steps between checkpoints; the last step always writes one.
        evaluate_every: steps between losses on held-out windows, with fixed noise; the last step always has one.
        num_workers: processes that load windows; no number changes what is trained.
        cpu_threads: of CPU kernels, None for as many as there are cores; on tiny tensors threads wait for each other.
    """

    stage: Literal["stage1", "stage2", "joint"]
    steps: int
    batch_size: int
    learning_rate: float
    head_rate_factor: float = 5.0
    seed: int = 0
    warmup_steps: int = 0
    decay: bool = False
    drop_rate: float = 0.1
    drop: Literal["clip", "frame"] = "clip"
    log_sigma_mean: float = 1.0
    log_sigma_std: float = 1.6
    high_log_sigma_mean: float | None = None
    high_log_sigma_std: float = 0.5
    reuse: int = 1
    reuse_block: int = 1
    gradient_stop: Literal["paper", "reference"] = "paper"
    padding: Literal["mask", "zero"] = "mask"
    clip_norm: float | None = None
    color_jitter: bool = True
    checkpoint_every: int = 1000
    evaluate_every: int = 1000
    num_workers: int = 2
    cpu_threads: int | None = None


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as nested plain values, tuples as lists."""
    return typing.cast(dict[str, Any], _plain(dataclasses.asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def from_dict(kind: type[T], values: dict[str, Any]) -> T:
    """The inverse of `to_dict`.

    Raises:
        VptrainError: a key is unknown.
    """
    hints = typing.get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        raise VptrainError(
            f"{kind.__name__} has no {', '.join(sorted(unknown))}; this configuration is of another version."
        )
    return kind(**{key: _typed(hints[key], value) for key, value in values.items()})


def _typed(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type[Any], hint), value)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return tuple(_typed(typing.get_args(hint)[0], item) for item in value)
    if origin is types.UnionType and value is not None:
        return _typed(next(arg for arg in typing.get_args(hint) if arg is not type(None)), value)
    return value


def overridden(config: T, assignments: Sequence[str]) -> T:
    """A configuration with `name=value` assignments to its plain fields; tuples are written `a,b,c`, None as `none`.

    Raises:
        VptrainError: there is no such plain field, or the value does not fit it.
    """
    hints = typing.get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or name not in hints or dataclasses.is_dataclass(hints[name]):
            plain = ", ".join(key for key, hint in hints.items() if not dataclasses.is_dataclass(hint))
            raise VptrainError(f"cannot set {assignment!r}.", hint=f"Write NAME=VALUE with one of: {plain}.")
        try:
            changes[name] = _parsed(hints[name], text)
        except ValueError as error:
            raise VptrainError(f"{text!r} is no value for {name} ({error}).") from None
    return typing.cast(T, dataclasses.replace(typing.cast(Any, config), **changes))


def _parsed(hint: Any, text: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return tuple(_parsed(arguments[0], part) for part in text.split(","))
    if origin is types.UnionType:
        plain = next(argument for argument in arguments if argument is not type(None))
        return None if text == "none" else _parsed(plain, text)
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"choose one of {', '.join(arguments)}")
        return text
    if hint is bool:
        if text not in ("true", "false"):
            raise ValueError("write true or false")
        return text == "true"
    return hint(text)
