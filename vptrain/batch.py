"""Windows in, tensors out: windows that show the same cameras form one batch, so that no view is ever invented."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vpdata import spaces
from vpdata.loader.window import Window, WindowSpec
from vptrain.config import ModelConfig
from vptrain.errors import VptrainError
from vptrain.normalize import ActionNormalizer

Padding = Literal["mask", "zero"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Windows of one camera layout.

    Attributes:
        layout: cameras shown, in order.
        frames_BVFHWC: uint8.
        frame_mask_BF: bool, false past the episode's end.
        instructions: one a window.
        actions_BAD: float32, normalised; None unless all windows are labelled.
        action_mask_BA: bool, false where there is no action.
    """

    layout: tuple[str, ...]
    frames_BVFHWC: Tensor
    frame_mask_BF: Tensor
    instructions: tuple[str, ...]
    actions_BAD: Tensor | None
    action_mask_BA: Tensor

    def __len__(self) -> int:
        return len(self.instructions)

    def __post_init__(self) -> None:
        B, V, F = self.frames_BVFHWC.shape[:3]
        if len(self.layout) != V or self.frame_mask_BF.shape != (B, F) or len(self.instructions) != B:
            raise ValueError(f"batch of {tuple(self.frames_BVFHWC.shape)} does not fit its layout or masks")

    @property
    def mask_BT(self) -> Tensor:
        """The frame mask along the UNet's time axis: the repeated first frame, then each camera's frames."""
        first = torch.ones_like(self.frame_mask_BF[:, :1])
        return torch.cat([first, self.frame_mask_BF.repeat(1, len(self.layout))], dim=1)


def window_spec(config: ModelConfig) -> WindowSpec:
    """What windows a model wants."""
    return WindowSpec(
        num_frames=config.num_frames,
        stride=config.stride,
        horizon=config.horizon,
        height=config.image_size,
        width=config.image_size,
        cameras=config.cameras,
    )


def make_batches(
    windows: Sequence[Window], *, normalizer: ActionNormalizer | None = None, padding: Padding = "mask"
) -> list[Batch]:
    """Groups windows by the cameras they show, keeping their order within a group.

    Args:
        normalizer: converts and normalises actions; without one, batches carry none.
        padding: `mask` marks actions past the episode's end as absent; `zero` makes them recorded zeros, normalised
            like any other.

    Raises:
        VptrainError: a labelled window's action space does not convert to the normaliser's.
    """
    groups: dict[tuple[str, ...], list[Window]] = {}
    for window in windows:
        groups.setdefault(tuple(window.frames), []).append(window)
    return [_batch(layout, group, normalizer, padding) for layout, group in groups.items()]


def _batch(
    layout: tuple[str, ...], windows: Sequence[Window], normalizer: ActionNormalizer | None, padding: Padding
) -> Batch:
    frames = np.stack([np.stack([window.frames[camera] for camera in layout]) for window in windows])
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
        frames_BVFHWC=torch.from_numpy(frames),
        frame_mask_BF=torch.from_numpy(np.stack([window.frame_mask for window in windows])),
        instructions=tuple(window.instruction for window in windows),
        actions_BAD=actions,
        action_mask_BA=action_mask,
    )


def _actions(window: Window, normalizer: ActionNormalizer) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
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
