"""The action head: a 1-D U-Net over the horizon, conditioned on the encoder's vector and the time embedding (FiLM)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vptrain.config import HeadConfig


class ConvBlock(nn.Sequential):
    """Convolution over time, group norm, SiLU."""

    def __init__(self, in_channels: int, out_channels: int, config: HeadConfig) -> None:
        super().__init__(
            nn.Conv1d(in_channels, out_channels, config.kernel_size, padding=config.kernel_size // 2),
            nn.GroupNorm(config.groups, out_channels),
            nn.SiLU(),
        )


class FilmBlock(nn.Module):
    """Two convolution blocks, the first modulated as scale · x + bias by the condition, and a residual."""

    def __init__(self, in_channels: int, out_channels: int, *, condition_dim: int, config: HeadConfig) -> None:
        super().__init__()
        self.first = ConvBlock(in_channels, out_channels, config)
        self.second = ConvBlock(out_channels, out_channels, config)
        self.film = nn.Linear(condition_dim, 2 * out_channels)
        self.residual = nn.Conv1d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x_BCA: Tensor, condition_BE: Tensor) -> Tensor:
        """(B, in_channels, A) to (B, out_channels, A)."""
        scale, bias = self.film(F.silu(condition_BE))[:, :, None].chunk(2, dim=1)
        out: Tensor = self.second(scale * self.first(x_BCA) + bias) + self.residual(x_BCA)
        return out


class FilmBlocks(nn.ModuleList):
    """Blocks one after another."""

    def forward(self, x_BCA: Tensor, condition_BE: Tensor) -> Tensor:
        """As the blocks."""
        for block in self:
            x_BCA = block(x_BCA, condition_BE)
        return x_BCA


class ActionHead(nn.Module):
    """Denoises a horizon of actions."""

    def __init__(self, config: HeadConfig, *, action_dim: int, feature_dim: int, emb_dim: int) -> None:
        super().__init__()
        self.time_proj = nn.Linear(emb_dim, config.time_dim)
        condition_dim = config.time_dim + feature_dim
        widths = (action_dim, *config.widths)

        def block(in_channels: int, out_channels: int) -> FilmBlock:
            return FilmBlock(in_channels, out_channels, condition_dim=condition_dim, config=config)

        self.down = nn.ModuleList()
        self.downsamplers = nn.ModuleList()
        for i, (before, after) in enumerate(pairwise(widths)):
            self.down.append(FilmBlocks([block(before, after), block(after, after)]))
            if i < len(config.widths) - 1:
                self.downsamplers.append(nn.Conv1d(after, after, 3, stride=2, padding=1))
        self.mid = FilmBlocks(block(widths[-1], widths[-1]) for _ in range(2))
        self.up = nn.ModuleList()
        self.upsamplers = nn.ModuleList()
        for before, after in zip(config.widths[:0:-1], config.widths[-2::-1], strict=True):
            self.up.append(FilmBlocks([block(2 * before, after), block(after, after)]))
            self.upsamplers.append(nn.ConvTranspose1d(after, after, 4, stride=2, padding=1))
        self.final = ConvBlock(config.widths[0], config.widths[0], config)
        self.out = nn.Conv1d(config.widths[0], action_dim, 1)

    def forward(self, actions_BAD: Tensor, *, features_BE: Tensor, emb_BE: Tensor) -> Tensor:
        """Scaled noisy actions (B, A, D) to the network output (B, A, D)."""
        condition = torch.cat([self.time_proj(F.silu(emb_BE)), features_BE], dim=1)
        h = actions_BAD.transpose(1, 2)
        skips: list[Tensor] = []
        for i, level in enumerate(self.down):
            h = level(h, condition)
            skips.append(h)
            if i < len(self.downsamplers):
                h = self.downsamplers[i](h)
        h = self.mid(h, condition)
        for level, upsampler in zip(self.up, self.upsamplers, strict=True):
            h = upsampler(level(torch.cat([h, skips.pop()], dim=1), condition))[..., : skips[-1].shape[-1]]
        out: Tensor = self.out(self.final(h))
        return out.transpose(1, 2)
