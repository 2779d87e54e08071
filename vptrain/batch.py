"""Windows in, tensors out: windows that show the same cameras form one batch, so that no view is ever invented."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vpdata import spaces
from vpdata.loader.batch import Group, WindowBatch, group_windows
from vpdata.loader.device import resize_batch
from vpdata.loader.window import Window, WindowSpec
from vptrain.config import ModelConfig
from vptrain.errors import VptrainError
from vptrain.normalize import ActionNormalizer

Padding = Literal["mask", "zero"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Latents:
    """What an autoencoder made of windows in advance. float32, on the model's device, not scaled.

    Attributes:
        mean_BVFCHW, log_variance_BVFCHW: of the frames' posteriors.
        first_BVCHW: the mode of each camera's first frame, noised.
    """

    mean_BVFCHW: Tensor
    log_variance_BVFCHW: Tensor
    first_BVCHW: Tensor

    @classmethod
    def of(cls, numbers_BVF3CHW: Tensor) -> "Latents":
        """From mean, log variance, and mode of the noised frame, of every frame."""
        mean, log_variance, noised = numbers_BVF3CHW.float().unbind(3)
        return cls(mean_BVFCHW=mean, log_variance_BVFCHW=log_variance, first_BVCHW=noised[:, :, 0])

    def part(self, part: slice) -> "Latents":
        """Those of some windows."""
        return Latents(
            mean_BVFCHW=self.mean_BVFCHW[part],
            log_variance_BVFCHW=self.log_variance_BVFCHW[part],
            first_BVCHW=self.first_BVCHW[part],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Windows of one camera layout: their pictures, or the latents of these.

    Attributes:
        layout: cameras shown, in order.
        frames_BVFHWC: uint8, of the model's size and on its device. May be a view into what a loader uses again. None
            where there are latents.
        latents: None where there are pictures.
        frame_mask_BF: bool, false past the episode's end.
        instructions: one a window.
        keys: what the windows' draws follow from: their global positions, or their places in the list where they are
            of no stream.
        actions_BAD: float32, normalised; None unless all windows are labelled.
        action_mask_BA: bool, false where there is no action.
    """

    layout: tuple[str, ...]
    frames_BVFHWC: Tensor | None
    frame_mask_BF: Tensor
    instructions: tuple[str, ...]
    keys: tuple[int, ...]
    actions_BAD: Tensor | None
    action_mask_BA: Tensor
    latents: Latents | None = None

    def __len__(self) -> int:
        return len(self.instructions)

    def __post_init__(self) -> None:
        shown = self.pictures_BVFHWC if self.latents is None else self.latents.mean_BVFCHW
        B, V, F = shown.shape[:3]
        if len(self.layout) != V or self.frame_mask_BF.shape != (B, F) or len(self.instructions) != B:
            raise ValueError(f"batch of {tuple(shown.shape)} does not fit its layout or masks")

    @property
    def pictures_BVFHWC(self) -> Tensor:
        """`frames_BVFHWC` of a batch of pictures."""
        assert self.frames_BVFHWC is not None, "these windows show latents"
        return self.frames_BVFHWC

    def split(self, size: int | None) -> list["Batch"]:
        """Batches of at most so many windows; None: itself."""
        if size is None or size >= len(self):
            return [self]
        return [self._part(slice(start, start + size)) for start in range(0, len(self), size)]

    def _part(self, part: slice) -> "Batch":
        return Batch(
            layout=self.layout,
            frames_BVFHWC=None if self.frames_BVFHWC is None else self.frames_BVFHWC[part],
            frame_mask_BF=self.frame_mask_BF[part],
            instructions=self.instructions[part],
            keys=self.keys[part],
            actions_BAD=None if self.actions_BAD is None else self.actions_BAD[part],
            action_mask_BA=self.action_mask_BA[part],
            latents=None if self.latents is None else self.latents.part(part),
        )

    @property
    def mask_BT(self) -> Tensor:
        """The frame mask along the UNet's time axis: the repeated first frame, then each camera's frames."""
        first = torch.ones_like(self.frame_mask_BF[:, :1])
        return torch.cat([first, self.frame_mask_BF.repeat(1, len(self.layout))], dim=1)


def window_spec(config: ModelConfig) -> WindowSpec:
    """What windows a model wants: with frames as stored, since `make_batches` resizes them where the model is."""
    return WindowSpec(
        num_frames=config.num_frames,
        stride=config.stride,
        horizon=config.horizon,
        height=None,
        width=None,
        cameras=config.cameras,
    )


def make_batches(
    windows: WindowBatch | Sequence[Window],
    *,
    image_size: int,
    device: torch.device | str = "cpu",
    normalizer: ActionNormalizer | None = None,
    padding: Padding = "mask",
    latents: torch.dtype | None = None,
) -> list[Batch]:
    """Groups windows by the cameras they show, keeping their order within a group, and resizes their frames.

    Args:
        windows: what a loader delivers, whose frames lie together already; or single windows.
        image_size: height and width of the frames in pixels, from whatever size they are stored in.
        device: where to resize, and where the frames are then. When this returns, nothing is read from `windows` by a
            device any more.
        normalizer: converts and normalises actions; without one, batches carry none.
        padding: `mask` marks actions past the episode's end as absent; `zero` makes them recorded zeros, normalised
            like any other.
        latents: what type of numbers the windows' latents are; None: they show pictures.

    Raises:
        VptrainError: a labelled window's action space does not convert to the normaliser's.
    """
    if isinstance(windows, WindowBatch):
        groups, in_order = windows.groups, windows.windows
    else:
        groups, in_order = group_windows(windows)
    by_layout: dict[tuple[str, ...], list[Group]] = {}
    for group in sorted(groups, key=lambda group: group.places[0]):
        by_layout.setdefault(group.layout, []).append(group)
    device = torch.device(device)
    batches = []
    for layout, members in by_layout.items():
        places = [place for group in members for place in group.places]
        frames: Tensor | Latents
        if latents is None:
            frames = _in_order([_frames(group, image_size, device) for group in members], places)
        else:
            frames = Latents.of(_in_order([_numbers(group, latents, device) for group in members], places))
        shown = [(place, in_order[place]) for place in sorted(places)]
        keys = tuple(place if window.position is None else window.position for place, window in shown)
        batches.append(_batch(layout, frames, [window for _, window in shown], keys, normalizer, padding))
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    return batches


def _frames(group: Group, image_size: int, device: torch.device) -> Tensor:
    """uint8 (b, V, F, image_size, image_size, 3) on the device."""

    def resized(frames: NDArray[np.uint8]) -> Tensor:
        moved = torch.from_numpy(frames).to(device, non_blocking=True)
        return resize_batch(moved, height=image_size, width=image_size, fit="crop")

    if group.stacked is not None:
        return resized(group.stacked).transpose(0, 1)
    return torch.stack([resized(group.frames[camera]) for camera in group.layout], dim=1)


def _numbers(group: Group, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(b, V, F, 3, C, H, W) on the device: see `Latents.of`."""
    assert group.stacked is not None  # all of a data set's latents have one shape
    return torch.from_numpy(group.stacked).to(device, non_blocking=True).view(dtype).transpose(0, 1)


def _in_order(parts: list[Tensor], places: list[int]) -> Tensor:
    """The windows of one or more groups by their places in the batch."""
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor(np.argsort(places), device=parts[0].device)
    return torch.cat(parts)[order]


def _batch(
    layout: tuple[str, ...],
    frames: Tensor | Latents,
    windows: Sequence[Window],
    keys: tuple[int, ...],
    normalizer: ActionNormalizer | None,
    padding: Padding,
) -> Batch:
    actions = None
    if normalizer is not None and all(window.actions is not None for window in windows):
        actions = torch.from_numpy(np.stack([_actions(window, normalizer) for window in windows])).float()
    action_mask = torch.from_numpy(np.stack([window.action_mask for window in windows]))
    if actions is not None:
        if padding == "mask":
            actions = torch.where(action_mask[:, :, None], actions, 0.0)
        else:
            action_mask = torch.ones_like(action_mask)
    return Batch(
        layout=layout,
        frames_BVFHWC=frames if isinstance(frames, Tensor) else None,
        latents=frames if isinstance(frames, Latents) else None,
        frame_mask_BF=torch.from_numpy(np.stack([window.frame_mask for window in windows])),
        instructions=tuple(window.instruction for window in windows),
        keys=keys,
        actions_BAD=actions,
        action_mask_BA=action_mask,
    )


def _actions(window: Window, normalizer: ActionNormalizer) -> NDArray[np.float64]:
    if window.actions is None or window.action_space is None:
        raise VptrainError("the window has no actions.", path=window.shard, episode=window.key)
    if not spaces.can_convert(window.action_space, normalizer.space):
        raise VptrainError(
            f"actions in {window.action_space} cannot be converted to {normalizer.space}, which the model predicts.",
            path=window.shard,
            episode=window.key,
            hint=f"Make the mixture again with `--withhold {window.source}`: its video still trains stage 1.",
        )
    return normalizer.normalize(
        spaces.convert(window.actions, window.action_space, normalizer.space).astype(np.float64)
    )
