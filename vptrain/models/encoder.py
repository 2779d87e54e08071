"""The vision encoder: UNet features of every camera in, one vector for the action head out.

Structure and sizes follow the method's public implementation (205.8 M parameters at full size).
"""

from collections.abc import Mapping, Sequence
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vptrain.config import EncoderConfig, Stage

_TOWER_EXPANSION = 4
_BODY_EXPANSION = 2
_FINE_TO_COARSE = (19, 16, 13, 9)
_STEM_TAP = 22
_HALVING_MERGES = 2


class Bottleneck(nn.Module):
    """1³, 3³ and 1³ convolutions with group norms, the time embedding added after the first, and a residual."""

    def __init__(
        self,
        in_channels: int,
        planes: int,
        *,
        emb_dim: int,
        groups: int,
        expansion: int,
        stride: tuple[int, int, int] = (1, 1, 1),
    ) -> None:
        super().__init__()
        width = planes // expansion
        self.conv1 = nn.Conv3d(in_channels, width, 1, bias=False)
        self.norm1 = nn.GroupNorm(groups, width)
        self.emb_proj = nn.Linear(emb_dim, width)
        self.conv2 = nn.Conv3d(width, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups, width)
        self.conv3 = nn.Conv3d(width, planes, 1, bias=False)
        self.norm3 = nn.GroupNorm(groups * expansion, planes)
        self.shortcut: nn.Sequential | None = None
        if in_channels != planes or stride != (1, 1, 1):
            self.shortcut = nn.Sequential(
                nn.Conv3d(in_channels, planes, 1, stride=stride, bias=False),
                nn.GroupNorm(groups * expansion, planes),
            )
        else:
            # begin as the identity (Goyal et al. 2017, section 5.1): dozens of random blocks in a row drown the input
            nn.init.zeros_(self.norm3.weight)

    def forward(self, x_BCFHW: Tensor, emb_BE: Tensor) -> Tensor:
        """(B, in_channels, F, H, W) to (B, planes, F', H', W')."""
        h = F.silu(self.norm1(self.conv1(x_BCFHW)))
        h = h + self.emb_proj(F.silu(emb_BE))[:, :, None, None, None]
        h = F.silu(self.norm2(self.conv2(h)))
        h = self.norm3(self.conv3(h))
        return F.silu(h + (x_BCFHW if self.shortcut is None else self.shortcut(x_BCFHW)))


class BottleneckStage(nn.ModuleList):
    """Several blocks, of which the first changes channels and resolution."""

    def __init__(
        self,
        in_channels: int,
        stage: Stage,
        *,
        emb_dim: int,
        expansion: int = _TOWER_EXPANSION,
        stride: tuple[int, int, int] = (1, 1, 1),
        num_blocks: int = 2,
    ) -> None:
        super().__init__()
        for i in range(num_blocks):
            self.append(
                Bottleneck(
                    in_channels if i == 0 else stage.planes,
                    stage.planes,
                    emb_dim=emb_dim,
                    groups=stage.groups,
                    expansion=expansion,
                    stride=stride if i == 0 else (1, 1, 1),
                )
            )

    def forward(self, x_BCFHW: Tensor, emb_BE: Tensor) -> Tensor:
        """As its blocks, one after another."""
        for block in self:
            x_BCFHW = block(x_BCFHW, emb_BE)
        return x_BCFHW


class Tower(nn.Module):
    """One camera's features, finest first, merged into one map at the coarsest resolution."""

    def __init__(self, config: EncoderConfig, *, num_taps: int, tap_channels: Mapping[int, int], emb_dim: int) -> None:
        super().__init__()
        coarser = num_taps - 1
        halve = (1, 2, 2)
        self.stem = BottleneckStage(tap_channels[_STEM_TAP], config.stem, emb_dim=emb_dim, stride=halve)
        self.taps = nn.ModuleList(
            BottleneckStage(tap_channels[tap], stage, emb_dim=emb_dim)
            for tap, stage in zip(_FINE_TO_COARSE[:coarser], config.taps[:coarser], strict=True)
        )
        self.merged = nn.ModuleList()
        channels = config.stem.planes
        for i, (tap, stage) in enumerate(zip(config.taps[:coarser], config.merged[:coarser], strict=True)):
            stride = halve if i < _HALVING_MERGES else (1, 1, 1)
            self.merged.append(BottleneckStage(channels + tap.planes, stage, emb_dim=emb_dim, stride=stride))
            channels = stage.planes
        self.tail = nn.ModuleList()
        for stage in config.tail:
            self.tail.append(BottleneckStage(channels, stage, emb_dim=emb_dim))
            channels = stage.planes

    def forward(self, features: Mapping[int, Tensor], emb_BE: Tensor) -> Tensor:
        """Features as (B, C, F, H, W) a tap; returns (B, C, F, H/8, W/8) of the finest, from three taps on."""
        h: Tensor = self.stem(features[_STEM_TAP], emb_BE)
        for tap, tap_stage, merged in zip(_FINE_TO_COARSE, self.taps, self.merged, strict=False):
            h = merged(torch.cat([h, tap_stage(features[tap], emb_BE)], dim=1), emb_BE)
        for stage in self.tail:
            h = stage(h, emb_BE)
        return h


class VisionEncoder(nn.Module):
    """All cameras' features to one vector. A camera that a window lacks contributes zeros, never an invented view."""

    def __init__(
        self,
        config: EncoderConfig,
        *,
        cameras: Sequence[str],
        num_frames: int,
        num_taps: int,
        latent_size: int,
        tap_channels: Mapping[int, int],
        emb_dim: int,
    ) -> None:
        super().__init__()
        self.cameras = tuple(cameras)
        self.num_frames = num_frames
        self.towers = nn.ModuleList(
            Tower(config, num_taps=num_taps, tap_channels=tap_channels, emb_dim=emb_dim) for _ in cameras
        )
        self.fusion = nn.ModuleList()
        channels = len(self.cameras) * config.tail[-1].planes
        for stage in config.fusion:
            self.fusion.append(BottleneckStage(channels, stage, emb_dim=emb_dim))
            channels = stage.planes
        body = Stage(planes=channels, groups=config.body_groups)
        self.body = nn.ModuleList(
            BottleneckStage(channels, body, emb_dim=emb_dim, expansion=_BODY_EXPANSION)
            for _ in range(config.body_stages)
        )
        for _ in range(config.temporal_stages):
            self.body.append(
                BottleneckStage(
                    channels,
                    body,
                    emb_dim=emb_dim,
                    expansion=_BODY_EXPANSION,
                    stride=(2, 1, 1),
                    num_blocks=config.temporal_blocks,
                )
            )
        self.norm = nn.GroupNorm(config.output_groups, channels)
        frames = num_frames
        for _ in range(config.temporal_stages):
            frames = ceil(frames / 2)
        size = latent_size
        for _ in range(1 + min(_HALVING_MERGES, num_taps - 1)):
            size = ceil(size / 2)
        self.output_shape = (channels, frames, size, size)

    def forward(self, features: Mapping[int, Tensor], emb_BE: Tensor, *, layout: Sequence[str]) -> Tensor:
        """Encodes the features of a batch whose windows show the cameras `layout`, in this order.

        Args:
            features: per tap (B·T, C, H, W) with T = 1 + len(layout) · num_frames; frame 0 is dropped.
            emb_BE: the UNet's time embedding.
            layout: canonical camera names, all of them among the model's.

        Returns:
            (B, C, F', H', W'), see `output_shape`.
        """
        B = emb_BE.shape[0]
        views: dict[str, dict[int, Tensor]] = {camera: {} for camera in layout}
        for tap, feature in features.items():
            frames = feature.reshape(B, 1 + len(layout) * self.num_frames, *feature.shape[1:])[:, 1:]
            for camera, view in zip(layout, torch.split(frames, self.num_frames, dim=1), strict=True):
                views[camera][tap] = view.transpose(1, 2)
        seen = {
            camera: tower(views[camera], emb_BE)
            for camera, tower in zip(self.cameras, self.towers, strict=True)
            if camera in views
        }
        absent = torch.zeros_like(next(iter(seen.values())))
        h: Tensor = torch.cat([seen.get(camera, absent) for camera in self.cameras], dim=1)
        for stage in (*self.fusion, *self.body):
            h = stage(h, emb_BE)
        out: Tensor = self.norm(h)
        return out
