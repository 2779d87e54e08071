"""One step's arithmetic: a batch in, the losses of a stage out, a window each.

Every random draw follows from the run's seed and stage and the window's key alone.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vptrain.augment import color_jitter, jitter_draws
from vptrain.batch import Batch
from vptrain.config import RunConfig
from vptrain.config.run import Precision
from vptrain.draws import Draws
from vptrain.errors import VptrainError
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.text import CachedText
from vptrain.models.unet import UNetOutput
from vptrain.normalize import images_to_unit
from vptrain.objectives.edm import draw_sigma, head_loss, joint_loss, noisy_features, video_loss

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """The actions to learn, normalised, and false where there is none; on the policy's device."""

    actions_BAD: Tensor
    mask_BA: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """A batch as the frozen video UNet sees it at one draw of noise; stage 2 may learn from it several times."""

    layout: tuple[str, ...]
    keys: tuple[int, ...]
    targets: Targets
    output: UNetOutput
    sigma_B: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Encoded:
    latents: Tensor
    condition: Condition


Use = Callable[[VideoPolicy, CachedText], object]
"""Something to do with a policy and its text encoder."""


class StageLosses(nn.Module):
    """The policy under a run's objective: one module, so that what shares or shards it sees every use of a weight."""

    def __init__(self, policy: VideoPolicy, *, text: CachedText, run: RunConfig) -> None:
        super().__init__()
        self.policy = policy
        self.run = run
        self._text = text

    def forward(
        self,
        of: Batch | Features | Use,
        *,
        features_only: bool = False,
        turn: int = 0,
        levels: Sequence[float] | None = None,
    ) -> object:
        """(B,) float32 losses of the run's stage; with `features_only`, what stage 2's frozen part makes of a batch.

        Args:
            of: windows; in stage 2, also their features; or another use of the policy, whose result is returned, since
                weights that are sharded can be used in here alone.
            features_only: see above.
            turn: how often the features have served before, which draws other noise on the actions.
            levels: standard normal: where in its distribution ln(sigma) is held, instead of drawn for each window. The
                result is (levels, B) then, of windows that are encoded once.

        Raises:
            VptrainError: stage 2 or joint training was given windows without actions.
        """
        if callable(of):  # the autoencoder, which overflows in fp16, may be part of it
            with _autocast(self.device, "fp32" if self.run.precision == "fp16" else self.run.precision):
                return of(self.policy, self._text)
        with _autocast(self.device, self.run.precision):
            if isinstance(of, Features):
                return self._head_losses(of, turn=turn)
            encoded = self._encode(of)
            if levels is not None:
                return torch.stack([self._losses(of, encoded, level=level) for level in levels])
            return self._features(of, encoded) if features_only else self._losses(of, encoded, turn=turn)

    @property
    def device(self) -> torch.device:
        """Where the policy is."""
        return next(self.policy.parameters()).device

    def _draws(self, keys: tuple[int, ...]) -> Draws:
        return Draws(seed=f"{self.run.seed}:{self.run.stage}", keys=keys, device=self.device)

    def _losses(self, batch: Batch, encoded: _Encoded, *, turn: int = 0, level: float | None = None) -> Tensor:
        if self.run.stage == "stage2":
            return self._head_losses(self._features(batch, encoded, level=level), turn=turn, level=level)
        sigma_B, noise = self._video_draws(batch, encoded, level=level)
        mask_BT = batch.mask_BT.to(self.device)
        if self.run.stage == "stage1":
            return video_loss(
                self.policy, encoded.latents, encoded.condition, sigma_B=sigma_B, noise=noise, mask_BT=mask_BT
            )
        targets = self._targets(batch)
        action_sigma_B, action_noise = self._action_draws(targets, sigma_B, batch.keys, turn=0, level=level)
        return joint_loss(
            self.policy,
            encoded.latents,
            encoded.condition,
            actions_BAD=targets.actions_BAD,
            mask_BA=targets.mask_BA,
            sigma_B=sigma_B,
            noise=noise,
            action_sigma_B=action_sigma_B,
            action_noise=action_noise,
            mask_BT=mask_BT,
            stop_gradient=self.run.gradient_stop == "paper",
        )

    @torch.no_grad()
    def _features(self, batch: Batch, encoded: _Encoded, *, level: float | None = None) -> Features:
        """What the frozen part of stage 2 makes of noise on the video: it runs the video UNet."""
        sigma_B, noise = self._video_draws(batch, encoded, level=level)
        return Features(
            layout=batch.layout,
            keys=batch.keys,
            targets=self._targets(batch),
            output=noisy_features(self.policy, encoded.latents, encoded.condition, sigma_B=sigma_B, noise=noise),
            sigma_B=sigma_B,
        )

    def _head_losses(self, features: Features, *, turn: int, level: float | None = None) -> Tensor:
        """The trained part of stage 2, with a new draw of the actions' noise each turn."""
        sigma_B, noise = self._action_draws(features.targets, features.sigma_B, features.keys, turn=turn, level=level)
        return head_loss(
            self.policy,
            features.output,
            layout=features.layout,
            actions_BAD=features.targets.actions_BAD,
            sigma_B=sigma_B,
            action_noise=noise,
            mask_BA=features.targets.mask_BA,
        )

    def _encode(self, batch: Batch) -> _Encoded:
        """Latents, and the condition with dropout."""
        if self.run.stage != "stage1" and batch.actions_BAD is None:
            raise VptrainError(f"{self.run.stage} was given windows without actions.")
        draws = self._draws(batch.keys)
        with _autocast(self.device, _autoencoder_precision(self.run)):
            latents, condition = self._latents(batch, draws)
        return _Encoded(latents=latents, condition=self._drop(condition, draws))

    def _latents(self, batch: Batch, draws: Draws) -> tuple[Tensor, Condition]:
        """Targets and condition, of pictures or of what the autoencoder made of them in advance."""
        run, config = self.run, self.policy.config
        noise = draws.normal("posterior", config.latent_shape(len(batch.layout) * config.num_frames))
        text_BE = self._text.encode(batch.instructions).to(self.device)
        if batch.latents is not None:
            mean, log_variance = batch.latents.mean_BVFCHW, batch.latents.log_variance_BVFCHW
            targets = self.policy.targets(mean.flatten(1, 2), log_variance.flatten(1, 2), noise=noise)
            return targets, self.policy.condition(batch.latents.first_BVCHW, text_BE, layout=batch.layout)
        frames = images_to_unit(batch.pictures_BVFHWC.to(self.device))
        if run.color_jitter:
            with _autocast(self.device, "fp32"):  # its matrix products are no network's
                frames = color_jitter(frames, jitter_draws(run.seed, batch.keys, num_cameras=len(batch.layout)))
        first = frames[:, :, 0]
        targets = self.policy.encode_video(frames, noise=noise).float()
        return targets, self.policy.encode_condition(
            first, text_BE, layout=batch.layout, noise_BVCHW=draws.normal("first frames", first.shape[1:])
        )

    def _drop(self, condition: Condition, draws: Draws) -> Condition:
        """Classifier-free dropout of text and first-frame latents, independently."""
        T = condition.latents_BTCHW.shape[1]
        dropped_B2T = draws.uniform("drop", (2, T if self.run.drop == "frame" else 1)) < self.run.drop_rate
        return condition.without(latents_BT=dropped_B2T[:, 0], text_BT=dropped_B2T[:, 1])

    def _targets(self, batch: Batch) -> Targets:
        assert batch.actions_BAD is not None
        return Targets(actions_BAD=batch.actions_BAD.to(self.device), mask_BA=batch.action_mask_BA.to(self.device))

    def _video_draws(self, batch: Batch, encoded: _Encoded, *, level: float | None) -> tuple[Tensor, Tensor]:
        """The video's sigma and noise."""
        run, draws = self.run, self._draws(batch.keys)
        mean, std = run.log_sigma_mean, run.log_sigma_std
        if run.stage != "stage1" and run.high_log_sigma_mean is not None:
            mean, std = run.high_log_sigma_mean, run.high_log_sigma_std
        unit = _unit_sigma(draws, "sigma", level)
        return draw_sigma(unit, mean=mean, std=std), draws.normal("video", encoded.latents.shape[1:])

    def _action_draws(
        self, targets: Targets, sigma_B: Tensor, keys: tuple[int, ...], *, turn: int, level: float | None
    ) -> tuple[Tensor, Tensor]:
        """The actions' sigma, which is the video's, or one of their own where that is held high; and their noise."""
        run, draws = self.run, self._draws(keys)
        if run.high_log_sigma_mean is not None:
            unit = _unit_sigma(draws, f"action sigma {turn}", level)
            sigma_B = draw_sigma(unit, mean=run.log_sigma_mean, std=run.log_sigma_std)
        return sigma_B, draws.normal(f"actions {turn}", targets.actions_BAD.shape[1:])


def _unit_sigma(draws: Draws, purpose: str, level: float | None) -> Tensor:
    if level is not None:
        return torch.full((len(draws.keys),), level, device=draws.device)
    return draws.normal(purpose, ())


def _autoencoder_precision(run: RunConfig) -> Precision:
    return run.autoencoder_precision or ("bf16" if run.precision == "bf16" else "fp32")


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32")
