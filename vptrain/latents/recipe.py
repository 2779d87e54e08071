"""All that decides the latents of given clips; two such recipes in, what training cannot overlook between them out."""

import math
from dataclasses import dataclass
from typing import Self

import torch

from vptrain.augment import BRIGHTNESS, CONTRAST, HUE, SATURATION
from vptrain.config import ModelConfig
from vptrain.config.run import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NUM_TENSORS = 3
"""Of a frame: mean, log variance, and the mode of the noised frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentRecipe:
    """How latents are made. It stands in the manifest, as the arguments of the operation `latents`.

    Attributes:
        autoencoder: hex SHA-256 of its tensors.
        cameras: those that the model's windows show; of a clip with none of them, its first one is encoded.
        image_size: of the frames, in pixels.
        latent_shape: (C, h, w) of a frame.
        condition_noise: standard deviation of the noise on frames that begin a window, in pixels scaled to [-1, 1].
        color_jitter: strengths of brightness, contrast, saturation and hue; zeros for none.
        num_variants: of each frame, each with a draw of its own.
        seed: of jitter and noise.
        dtype: of the stored numbers.
        precision: of the autoencoder's arithmetic.
    """

    autoencoder: str
    cameras: tuple[str, ...]
    image_size: int
    latent_shape: tuple[int, ...]
    condition_noise: float
    color_jitter: tuple[float, ...]
    num_variants: int
    seed: int
    dtype: Precision
    precision: Precision

    @classmethod
    def of(
        cls,
        model: ModelConfig,
        *,
        autoencoder: str,
        color_jitter: bool,
        num_variants: int,
        seed: int = 0,
        dtype: Precision = "fp16",
        precision: Precision = "fp32",
    ) -> Self:
        """The recipe for a model whose autoencoder has that digest."""
        return cls(
            autoencoder=autoencoder,
            cameras=model.cameras,
            image_size=model.image_size,
            latent_shape=model.latent_shape(1)[1:],
            condition_noise=model.condition_noise,
            color_jitter=jitter_strengths(on=color_jitter),
            num_variants=num_variants,
            seed=seed,
            dtype=dtype,
            precision=precision,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the numbers of a frame."""
        return (NUM_TENSORS, *self.latent_shape)

    @property
    def shape_in_bytes(self) -> tuple[int, ...]:
        """As `shape`, with the bytes of the last dimension."""
        return (*self.shape[:-1], self.shape[-1] * DTYPES[self.dtype].itemsize)

    @property
    def bytes_a_frame(self) -> int:
        """That one variant of a frame takes."""
        return math.prod(self.shape_in_bytes)

    def differences(self, wanted: "Wanted") -> list[str]:
        """What does not fit a run, in words; empty where all does."""
        pairs = {
            "autoencoder": (self.autoencoder[:12], wanted.autoencoder[:12]),
            "cameras": (", ".join(self.cameras), ", ".join(wanted.model.cameras)),
            "image size": (self.image_size, wanted.model.image_size),
            "condition noise": (self.condition_noise, wanted.model.condition_noise),
            "colour jitter": (_strengths(self.color_jitter), _strengths(jitter_strengths(on=wanted.color_jitter))),
        }
        return [f"{name} {here} where the run has {there}" for name, (here, there) in pairs.items() if here != there]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a run needs latents to be made with: the model, the digest of its autoencoder, and whether it jitters."""

    model: ModelConfig
    autoencoder: str
    color_jitter: bool


def jitter_strengths(*, on: bool) -> tuple[float, ...]:
    """Of brightness, contrast, saturation and hue."""
    return (BRIGHTNESS, CONTRAST, SATURATION, HUE) if on else (0.0,) * 4


def _strengths(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values) if any(values) else "none"
