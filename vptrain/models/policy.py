"""Video Policy: autoencoder, video UNet, vision encoder and action head under one roof.

Parameter names begin with `autoencoder.`, `unet.`, `encoder.` and `head.`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vpdata import spaces
from vptrain.config import ModelConfig
from vptrain.models.autoencoder import build_autoencoder, posteriors
from vptrain.models.encoder import VisionEncoder
from vptrain.models.head import ActionHead
from vptrain.models.unet import UNetOutput, VideoUNet

ENCODE_CHUNK = 32
DECODE_CHUNK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a window is generated from: `latents_BTCHW` of the first frames, `text_BTE`, and the cameras shown."""

    latents_BTCHW: Tensor
    text_BTE: Tensor
    layout: tuple[str, ...]

    def without(self, *, latents_BT: Tensor | None = None, text_BT: Tensor | None = None) -> "Condition":
        """A copy with latents and text set to zero where the masks (B, T or 1) are true; None means everywhere."""
        keep_latents = 0.0 if latents_BT is None else (~latents_BT)[:, :, None, None, None]
        keep_text = 0.0 if text_BT is None else (~text_BT)[:, :, None]
        return Condition(
            latents_BTCHW=self.latents_BTCHW * keep_latents, text_BTE=self.text_BTE * keep_text, layout=self.layout
        )


class VideoPolicy(nn.Module):
    """The whole model. `forward` is the raw network; preconditioning and losses live in `vptrain.objectives`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = build_autoencoder(config.autoencoder).requires_grad_(False)
        self.unet = VideoUNet.build(
            config.unet, autoencoder=config.autoencoder, text=config.text, num_ids=len(config.time_ids)
        )
        emb_dim = 4 * config.unet.block_out_channels[0]
        self.encoder = VisionEncoder(
            config.encoder,
            cameras=config.cameras,
            num_frames=config.num_frames,
            num_taps=config.num_taps,
            latent_size=config.latent_size,
            tap_channels=self.unet.tap_channels(),
            emb_dim=emb_dim,
        )
        channels, frames, height, width = self.encoder.output_shape
        self.head = ActionHead(
            config.head,
            action_dim=spaces.load(config.action_space).size,
            feature_dim=channels * frames * height * width,
            emb_dim=emb_dim,
        )

    @torch.no_grad()
    def encode_video(self, frames_BVFCHW: Tensor, *, noise: Tensor, chunk: int = ENCODE_CHUNK) -> Tensor:
        """Targets: scaled posterior samples of frames in [-1, 1], (B, T, C, H, W); the first is repeated in front.

        Args:
            frames_BVFCHW: of every camera.
            noise: standard normal, (B, V·F, C, H, W) of latents; see `latent_shape`.
            chunk: frames encoded at once, which bounds the memory and changes nothing else.
        """
        B, V, F = frames_BVFCHW.shape[:3]
        mean, log_variance = posteriors(self.autoencoder, frames_BVFCHW.flatten(0, 2), chunk=chunk)
        shape = (B, V * F, *mean.shape[1:])
        return self.targets(mean.reshape(shape), log_variance.reshape(shape), noise=noise)

    def targets(self, mean_BTCHW: Tensor, log_variance_BTCHW: Tensor, *, noise: Tensor) -> Tensor:
        """The second half of `encode_video`: scaled samples of posteriors, the first one repeated in front."""
        std_BTCHW = (0.5 * log_variance_BTCHW).exp()
        latents = (mean_BTCHW + std_BTCHW * noise) * self.config.autoencoder.scaling_factor
        return torch.cat([latents[:, :1], latents], dim=1)

    @torch.no_grad()
    def encode_condition(
        self, first_BVCHW: Tensor, text_BE: Tensor, *, layout: Sequence[str], noise_BVCHW: Tensor
    ) -> Condition:
        """The condition for first frames in [-1, 1]: noised, encoded to the mode, unscaled, repeated along time.

        Args:
            first_BVCHW: of every camera.
            text_BE: one embedding a window.
            layout: canonical names of the cameras.
            noise_BVCHW: standard normal; it is scaled by the configuration's `condition_noise`.
        """
        B, V = first_BVCHW.shape[:2]
        noisy = (first_BVCHW + self.config.condition_noise * noise_BVCHW).flatten(0, 1)
        modes, _ = posteriors(self.autoencoder, noisy, chunk=ENCODE_CHUNK)
        return self.condition(modes.float().reshape(B, V, *modes.shape[1:]), text_BE, layout=layout)

    def condition(self, views_BVCHW: Tensor, text_BE: Tensor, *, layout: Sequence[str]) -> Condition:
        """The second half of `encode_condition`: from the noised first frames' latents, not scaled."""
        views = views_BVCHW
        latents = torch.cat([views[:, :1], views.repeat_interleave(self.config.num_frames, dim=1)], dim=1)
        text = text_BE[:, None].expand(-1, latents.shape[1], -1)
        return Condition(latents_BTCHW=latents, text_BTE=text, layout=tuple(layout))

    @torch.no_grad()
    def decode_video(self, latents_BTCHW: Tensor, *, chunk: int = DECODE_CHUNK) -> Tensor:
        """Scaled latents to frames (B, V, F, 3, H, W) in [-1, 1]; the repeated first frame is dropped."""
        B = latents_BTCHW.shape[0]
        latents = (latents_BTCHW[:, 1:] / self.config.autoencoder.scaling_factor).flatten(0, 1)
        frames = [self.autoencoder.decode(part, num_frames=1).sample for part in torch.split(latents, chunk)]
        pixels = torch.cat(frames).clamp(-1, 1)
        return pixels.reshape(B, -1, self.config.num_frames, *pixels.shape[1:])

    def forward(
        self,
        video_BTCHW: Tensor,
        c_noise_B: Tensor,
        condition: Condition,
        *,
        actions_BAD: Tensor | None = None,
        action_c_noise_B: Tensor | None = None,
        stop_gradient: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """The network's outputs for scaled noisy latents and, where given, scaled noisy actions.

        Args:
            action_c_noise_B: ln(sigma)/4 of the actions where it differs from the video's.
            stop_gradient: whether action gradients stop at the UNet's features (as in the paper).
        """
        output = self.run_unet(video_BTCHW, c_noise_B, condition)
        if actions_BAD is None:
            return output.video_BTCHW, None
        vision = self.vision(output, layout=condition.layout, stop_gradient=stop_gradient)
        noise_level = c_noise_B if action_c_noise_B is None else action_c_noise_B
        return output.video_BTCHW, self.run_head(
            actions_BAD, noise_level, vision_BE=vision, stop_gradient=stop_gradient
        )

    def run_unet(self, video_BTCHW: Tensor, c_noise_B: Tensor, condition: Condition) -> UNetOutput:
        """The video UNet on scaled noisy latents."""
        B = video_BTCHW.shape[0]
        ids = torch.tensor(self.config.time_ids, dtype=torch.float32, device=video_BTCHW.device).expand(B, -1)
        latents = torch.cat([video_BTCHW, condition.latents_BTCHW], dim=2)
        return self.unet.denoise(latents, c_noise_B, text_BTE=condition.text_BTE, ids_BI=ids)

    def vision(self, output: UNetOutput, *, layout: Sequence[str], stop_gradient: bool = True) -> Tensor:
        """The UNet's features as one vector (B, E)."""
        features, emb = output.features, output.time_embedding_BE
        if stop_gradient:
            features, emb = {tap: feature.detach() for tap, feature in features.items()}, emb.detach()
        vector: Tensor = self.encoder(features, emb, layout=layout)
        return vector.flatten(1)

    def run_head(
        self, actions_BAD: Tensor, c_noise_B: Tensor, *, vision_BE: Tensor, stop_gradient: bool = True
    ) -> Tensor:
        """The action head on scaled noisy actions; its time embedding is the UNet's."""
        emb = self.unet.embed_time(c_noise_B)
        output: Tensor = self.head(actions_BAD, features_BE=vision_BE, emb_BE=emb.detach() if stop_gradient else emb)
        return output


def seeded_policy(config: ModelConfig, *, seed: int) -> VideoPolicy:
    """A policy whose weights are random and follow from the seed alone; torch's global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VideoPolicy(config)
