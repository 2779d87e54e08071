"""The video UNet: diffusers' `UNetSpatioTemporalConditionModel`, walked to tap features.

Enters: noisy and conditioning latents, ln(sigma)/4, text. Leaves: the network output, features, time embedding.
"""

from dataclasses import dataclass
from functools import partial

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.resnet import SpatioTemporalResBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vptrain.config import AutoencoderConfig, TextConfig, UNetConfig

TAPS = (9, 13, 16, 19, 22)
"""Features for the action head, as indices over input then output blocks of the full-size model, coarsest first."""

MAX_VARIANTS = 4096
"""Of compiled code: blocks of different widths, times camera layouts, times training, evaluation and sampling."""

_DOWN_TAP = (2, 9)
_UP_TAPS = {(0, 1): 13, (1, 1): 16, (2, 1): 19, (3, 1): 22}


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetOutput:
    """`video_BTCHW`; `features` maps a tap to (B·T, C, H, W); `time_embedding_BE` without the added ids."""

    video_BTCHW: Tensor
    features: dict[int, Tensor]
    time_embedding_BE: Tensor


class VideoUNet(UNetSpatioTemporalConditionModel):  # type: ignore[misc]
    """Same parameters and names as its parent; `denoise` replaces `forward`."""

    @classmethod
    def build(cls, unet: UNetConfig, *, autoencoder: AutoencoderConfig, text: TextConfig, num_ids: int) -> "VideoUNet":
        """A randomly initialised UNet of the given sizes."""
        model = cls(
            in_channels=2 * autoencoder.latent_channels,
            out_channels=autoencoder.latent_channels,
            block_out_channels=unet.block_out_channels,
            layers_per_block=unet.layers_per_block,
            num_attention_heads=unet.num_attention_heads,
            cross_attention_dim=text.dim,
            addition_time_embed_dim=unet.addition_embed_dim,
            projection_class_embeddings_input_dim=num_ids * unet.addition_embed_dim,
        )
        model.use_reference_epsilon()
        for norm in model.modules():
            if isinstance(norm, nn.GroupNorm):
                norm.num_groups = unet.norm_groups
        return model

    def use_reference_epsilon(self) -> None:
        """Sets the GroupNorm epsilon of all residual blocks to 1e-5, as in training (diffusers has 1e-6 in some)."""
        for block in self.modules():
            if isinstance(block, SpatioTemporalResBlock):
                for norm in block.modules():
                    if isinstance(norm, nn.GroupNorm):
                        norm.eps = 1e-5

    def blocks(self) -> list[nn.Module]:
        """The residual and attention blocks, which hold nearly all parameters and activations."""
        kinds = (SpatioTemporalResBlock, TransformerSpatioTemporalModel)
        return [module for module in self.modules() if isinstance(module, kinds)]

    def use_channels_last(self) -> None:
        """Puts the weights of two-dimensional convolutions, and with them the images, in channels-last memory."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)

    def checkpoint_activations(self) -> None:
        """From now on a backward pass computes each block again instead of keeping what it needs of it."""
        for block in self.blocks():
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def compile_blocks(self) -> None:
        """Compiles each block, once for every shape that it sees. `checkpoint_activations` comes afterwards, if at all.

        Blocks of all widths share the code of their `forward`, for which torch by default compiles 8 variants and then
        runs the rest as it is, so that limit is lifted.
        """
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = MAX_VARIANTS
        for block in self.blocks():
            block.forward = torch.compile(block.forward, dynamic=False)

    def denoise(self, latents_BTCHW: Tensor, c_noise_B: Tensor, *, text_BTE: Tensor, ids_BI: Tensor) -> UNetOutput:
        """One pass.

        Args:
            latents_BTCHW: scaled noisy latents and first-frame latents, concatenated on channels.
            c_noise_B: ln(sigma)/4.
            text_BTE: one token a frame.
            ids_BI: added ids, embedded as sinusoids.
        """
        B, T = latents_BTCHW.shape[:2]
        dtype = latents_BTCHW.dtype
        time_embedding_BE = self.embed_time(c_noise_B)
        ids = self.add_time_proj(ids_BI.flatten()).reshape(B, -1).to(dtype)
        emb = (time_embedding_BE + self.add_embedding(ids)).repeat_interleave(T, dim=0, output_size=B * T)
        text = text_BTE.flatten(0, 1)[:, None]
        video_only = torch.zeros(B, T, dtype=dtype, device=latents_BTCHW.device)
        features: dict[int, Tensor] = {}

        h = self.conv_in(latents_BTCHW.flatten(0, 1))
        skips = [h]
        for i, block in enumerate(self.down_blocks):
            extra = {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
            h, block_skips = block(hidden_states=h, temb=emb, image_only_indicator=video_only, **extra)
            skips.extend(block_skips)
            if i == _DOWN_TAP[0]:
                features[_DOWN_TAP[1]] = h
        h = self.mid_block(hidden_states=h, temb=emb, encoder_hidden_states=text, image_only_indicator=video_only)
        for i, block in enumerate(self.up_blocks):
            attentions = getattr(block, "attentions", [None] * len(block.resnets))
            for j, (resnet, attention) in enumerate(zip(block.resnets, attentions, strict=True)):
                h = resnet(torch.cat([h, skips.pop()], dim=1), emb, image_only_indicator=video_only)
                if attention is not None:
                    h = attention(h, encoder_hidden_states=text, image_only_indicator=video_only, return_dict=False)[0]
                if (i, j) in _UP_TAPS:
                    features[_UP_TAPS[i, j]] = h
            for upsampler in block.upsamplers or ():
                h = upsampler(h)
        h = self.conv_out(self.conv_act(self.conv_norm_out(h)))
        return UNetOutput(video_BTCHW=h.unflatten(0, (B, T)), features=features, time_embedding_BE=time_embedding_BE)

    def embed_time(self, c_noise_B: Tensor) -> Tensor:
        """The time embedding (B, E) of ln(sigma)/4, without the added ids."""
        sinusoids: Tensor = self.time_proj(c_noise_B)
        embedded: Tensor = self.time_embedding(sinusoids.to(self.conv_in.weight.dtype))
        return embedded

    def tap_channels(self) -> dict[int, int]:
        """Channels of each tapped feature."""
        first, second, third, last = self.config["block_out_channels"]
        return {9: third, 13: last, 16: third, 19: second, 22: first}
