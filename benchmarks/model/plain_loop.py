"""Training steps as the method's public implementation takes them, on our networks: what `training.py` compares with.

fp16 autocast with loss scaling, the autoencoder in float32 two frames at a time, all activations computed again in the
backward pass, Adam, nothing compiled; stage 2 without gradients through the frozen UNet. Its own code is not used.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vptrain.batch import Batch
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.normalize import images_to_unit
from vptrain.objectives.edm import draw_sigma, reference_loss, video_loss

FRAMES_AT_A_TIME = 2


@dataclass(slots=True)
class PlainLoop:
    """A policy and its optimizer."""

    policy: VideoPolicy
    stage: str
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    @classmethod
    def make(cls, policy: VideoPolicy, *, stage: str, learning_rate: float) -> "PlainLoop":
        """Freezes what the stage does not train."""
        policy.requires_grad_(False)
        trained: list[nn.Module] = [policy.unet] if stage == "stage1" else [policy.encoder, policy.head]
        for part in trained:
            part.requires_grad_(True)
        policy.unet.checkpoint_activations()
        parameters = [parameter for part in trained for parameter in part.parameters()]
        device = parameters[0].device.type
        return cls(
            policy=policy,
            stage=stage,
            optimizer=torch.optim.Adam(parameters, lr=learning_rate),
            scaler=torch.amp.GradScaler(device),
        )

    def update(self, batch: Batch) -> float:
        """One step on all windows of a batch at once; its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        device = self.policy.unet.conv_in.weight.device
        latents, condition = self._encoded(batch, device)
        B = latents.shape[0]
        sigma_B = draw_sigma(torch.randn(B, device=device), mean=1.0, std=1.6)
        noise = torch.randn_like(latents)
        with torch.autocast(device.type, dtype=torch.float16):
            if self.stage == "stage1":
                mask_BT = batch.mask_BT.to(device)
                loss = video_loss(self.policy, latents, condition, sigma_B=sigma_B, noise=noise, mask_BT=mask_BT).mean()
            else:
                assert batch.actions_BAD is not None
                actions = batch.actions_BAD.to(device)
                loss = reference_loss(
                    self.policy,
                    latents,
                    condition,
                    actions_BAD=actions,
                    sigma_B=sigma_B,
                    noise=noise,
                    action_noise=torch.randn_like(actions),
                )
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return float(loss.detach())

    def _encoded(self, batch: Batch, device: torch.device) -> tuple[Tensor, Condition]:
        policy, config = self.policy, self.policy.config
        frames = images_to_unit(batch.pictures_BVFHWC.to(device))
        B, V, F = frames.shape[:3]
        noise = torch.randn(B, V * F, *config.latent_shape(1)[1:], device=device)
        first = frames[:, :, 0]
        latents = policy.encode_video(frames, noise=noise, chunk=FRAMES_AT_A_TIME)
        text_BE = torch.zeros(B, config.text.dim, device=device)
        condition = policy.encode_condition(first, text_BE, layout=batch.layout, noise_BVCHW=torch.randn_like(first))
        return latents, condition
