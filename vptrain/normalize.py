"""The one place where pixels and actions change scale: uint8 to [-1, 1], and actions to [-1, 1] by their range."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vpdata import spaces
from vpdata.mixture.mixture import PlacedClip
from vpdata.stats import ArrayStatistics
from vptrain.errors import VptrainError


def images_to_unit(frames_THWC: Tensor) -> Tensor:
    """uint8 (..., H, W, 3) to float32 (..., 3, H, W) in [-1, 1]."""
    planar = frames_THWC.movedim(-1, -3)
    out = torch.empty(planar.shape, dtype=torch.float32, device=planar.device)
    return out.copy_(planar).div_(127.5).sub_(1)


def unit_to_images(frames_TCHW: Tensor) -> Tensor:
    """The inverse of `images_to_unit`, rounded and clipped."""
    return ((frames_TCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(-3, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionNormalizer:
    """Min/max normalisation of one action space over the training set.

    A dimension that never changes (min = max) is normalised to 0 and comes back as its constant.
    """

    space: str
    statistics: ArrayStatistics

    @classmethod
    def fit(cls, clips: Iterable[PlacedClip], *, space: str) -> "ActionNormalizer | None":
        """Statistics over every action row of the labelled clips, once each, converted to `space`.

        None where no labelled clip has a convertible space. Rows that two overlapping clips share count for the first.
        """
        total: ArrayStatistics | None = None
        for placed in clips:
            recorded = placed.clip.episode.action_space
            if not placed.labelled or recorded is None or not spaces.can_convert(recorded, space):
                continue
            rows = placed.dataset.actions(placed.clip)
            if rows is None:
                raise VptrainError("a labelled clip has no actions.", path=placed.dataset.path, episode=placed.clip.key)
            part = ArrayStatistics.of(spaces.convert(rows[: placed.clip.span.num_starts], recorded, space))
            total = part if total is None else total.merge(part)
        return None if total is None else cls(space=space, statistics=total)

    def normalize(self, actions: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., D) in the space's units to [-1, 1]."""
        low, width = self._range()
        return np.where(width > 0, 2 * (actions - low) / np.where(width > 0, width, 1) - 1, 0.0)

    def restore(self, normalized: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `normalize`; values outside [-1, 1] are clipped, so that an action stays in the seen range."""
        low, width = self._range()
        return low + (np.clip(normalized, -1, 1) + 1) / 2 * width

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,) the mean action, normalised."""
        return self.normalize(np.asarray(self.statistics.mean))

    def _range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = np.asarray(self.statistics.min, dtype=np.float64), np.asarray(self.statistics.max, dtype=np.float64)
        return low, high - low

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {"space": self.space, "statistics": self.statistics.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ActionNormalizer":
        """The inverse of `to_json`."""
        return cls(space=values["space"], statistics=ArrayStatistics.from_json(values["statistics"]))
