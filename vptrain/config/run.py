"""The configuration of a run: how to train one stage."""

import math
from dataclasses import dataclass
from typing import Literal

from vptrain.config.ranges import check_least
from vptrain.errors import VptrainError

StageName = Literal["stage1", "stage2", "joint"]
Precision = Literal["fp32", "bf16", "fp16"]
OptimizerName = Literal["adam", "adamw", "adamw8bit"]
Schedule = Literal["constant", "linear", "cosine"]
Sharding = Literal["replicate", "full"]
Tracker = Literal["tensorboard", "wandb", "trackio"]

LEAST = {
    **dict.fromkeys(("steps", "batch_size", "micro_batch_size", "reuse", "reuse_block"), 1),
    **dict.fromkeys(("checkpoint_every", "keep_checkpoints", "evaluate_every", "sample_every"), 1),
    **dict.fromkeys(("lora_rank", "lora_alpha", "cpu_threads"), 1),
    **dict.fromkeys(("learning_rate", "head_rate_factor", "betas", "epsilon", "weight_decay", "clip_norm"), 0),
    **dict.fromkeys(("warmup_steps", "final_rate_factor", "drop_rate", "keep_every", "num_workers"), 0),
    **dict.fromkeys(("log_sigma_std", "high_log_sigma_std"), 0),
    **dict.fromkeys(("log_sigma_mean", "high_log_sigma_mean"), -math.inf),
}
"""The least that a field may be; None is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """How to train one stage.

    Attributes:
        stage: `stage1` trains the video UNet on every window, `stage2` encoder and head on labelled ones with the UNet
            frozen, `joint` all three on labelled ones.
        steps: optimizer steps.
        batch_size: windows a step, on all devices together.
        micro_batch_size: windows at a time on one device, the gradients of which are added up; None: all of its share.
        learning_rate: of the video UNet in stage 1 and joint training, of encoder and head in stage 2.
        head_rate_factor: encoder and head learn at this times `learning_rate` in joint training.
        optimizer: Adam as the reference, AdamW, or AdamW with 8-bit states (bitsandbytes).
        betas, epsilon, weight_decay: of the optimizer; Adam adds its decay to the gradient, AdamW to the weight.
        warmup_steps: steps of linear warm-up.
        schedule: after the warm-up the rate stays, or falls linearly or along a cosine until the last step, ...
        final_rate_factor: ... to this times `learning_rate`.
        clip_norm: gradient norm is clipped to it, None for never.
        ema_decay: of the exponential moving average of the trained weights, which is what later stages and predictions
            then use; None for none.
        drop_rate: probability of dropping text, and independently the first-frame latents.
        drop: `clip` drops them for a whole window, which is what guidance asks the model for; `frame`, as the
            reference, for each frame by itself.
        log_sigma_mean, log_sigma_std: ln sigma is normal with these.
        high_log_sigma_mean: if set, the video's ln sigma is normal about this in stage 2 and joint training, and the
            actions' sigma is drawn by itself as above: for policies that look at one noisy video step.
        high_log_sigma_std: the standard deviation that goes with it.
        reuse: optimizer steps that stage 2 takes on the features of each window. The frozen UNet sees every window
            once for one draw of noise; its features then serve so many steps, each with new noise on the actions.
        reuse_block: batches whose features are kept at a time, and visited in a new random order on each pass.
        gradient_stop: `paper` keeps the actions' gradients out of the UNet in joint training, `reference` does not.
        padding: actions past the episode's end are left out of the loss (`mask`), or are zeros before normalising
            that the head must learn (`zero`, as the reference).
        color_jitter: brightness, contrast, saturation and hue, one draw a camera and window.
        precision: of the networks' arithmetic; trained weights, losses and sigmas stay float32.
        autoencoder_precision: of the autoencoder's; None: bf16 where the run is, else fp32, since fp16 overflows in it.
        activation_checkpointing: the UNet's activations are computed again in the backward pass instead of kept.
        compile: torch.compile of the UNet and of what encodes pictures, once for each shape; shapes are fixed by camera
            layout and batch size.
        channels_last: the UNet's images in channels-last memory.
        lora_rank: stage 1 trains low-rank adapters of the UNet's attention instead of its weights; None: its weights.
        lora_alpha: their scale is this by their rank.
        sharding: several devices hold a whole copy each (`replicate`, DDP), or a part of the trained weights, their
            gradients and the optimizer's state (`full`, FSDP2).
        checkpoint_every: steps between checkpoints; the last step always writes one.
        keep_checkpoints: so many of the newest stay, ...
        keep_every: ... and every checkpoint whose step is a multiple of this; None for no other.
        evaluate_every: steps between losses on held-out windows, with fixed noise; the last step always has one.
        sample_every: steps between predictions of held-out windows, shown and scored; the last step always has one;
            None for never.
        diverge_factor: the run stops where the loss is above this times its median of the last 100 steps, 20 steps in
            a row; None for never.
        num_workers: processes a device that load windows; no number changes what is trained.
        cpu_threads: of CPU kernels, None for as many as there are cores; on tiny tensors threads wait for each other.
        trackers: where the metrics go beside metrics.jsonl.
        latents: folder of `vptrain latents` to train on in place of pictures; None decodes and encodes as it goes.
        recipe: the name of the recipe that it began as; other fields may have been changed since.
    """

    stage: StageName
    steps: int
    batch_size: int
    micro_batch_size: int | None = None
    learning_rate: float
    head_rate_factor: float = 5.0
    seed: int = 0
    optimizer: OptimizerName = "adam"
    betas: tuple[float, ...] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 0
    schedule: Schedule = "constant"
    final_rate_factor: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = None
    drop_rate: float = 0.1
    drop: Literal["clip", "frame"] = "clip"
    log_sigma_mean: float = 1.0
    log_sigma_std: float = 1.6
    high_log_sigma_mean: float | None = None
    high_log_sigma_std: float = 0.5
    reuse: int = 1
    reuse_block: int = 1
    gradient_stop: Literal["paper", "reference"] = "paper"
    padding: Literal["mask", "zero"] = "mask"
    color_jitter: bool = True
    precision: Precision = "fp32"
    autoencoder_precision: Precision | None = None
    activation_checkpointing: bool = False
    compile: bool = False
    channels_last: bool = False
    lora_rank: int | None = None
    lora_alpha: int = 16
    sharding: Sharding = "replicate"
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    keep_every: int | None = None
    evaluate_every: int = 1000
    sample_every: int | None = None
    diverge_factor: float | None = None
    num_workers: int = 2
    cpu_threads: int | None = None
    trackers: tuple[Tracker, ...] = ("tensorboard",)
    latents: str | None = None
    recipe: str | None = None

    def __post_init__(self) -> None:
        check_least(self, LEAST)
        if self.diverge_factor is not None and not self.diverge_factor > 1:
            raise VptrainError(f"diverge_factor {self.diverge_factor} is not above 1.")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise VptrainError(f"ema_decay {self.ema_decay} is not between 0 and 1.")
        if self.clip_norm == 0:
            raise VptrainError("clip_norm 0 would take every gradient away.", hint="Say none for no clipping.")
        if self.drop_rate > 1:
            raise VptrainError(f"drop_rate {self.drop_rate} is above 1.")
        if len(self.betas) != 2 or max(self.betas) >= 1:
            raise VptrainError(f"betas {self.betas} are not two numbers below 1.", hint="Write betas=0.9,0.999.")
        if self.lora_rank is not None and self.stage != "stage1":
            raise VptrainError(f"lora_rank is for stage 1; {self.stage} trains encoder and head whole.")
        if self.sharding == "full" and self.channels_last:
            raise VptrainError("FSDP2 shards no weights in channels-last memory.", hint="Say channels_last=false.")
        if self.sharding == "full" and self.optimizer == "adamw8bit":
            raise VptrainError("bitsandbytes keeps no 8-bit states of sharded weights.", hint="Say optimizer=adamw.")
        if self.precision == "fp16" and self.sharding == "full":
            raise VptrainError("fp16's loss scaling does not work with sharded weights.", hint="Take bf16.")


RESUMABLE = frozenset(
    {
        "micro_batch_size",
        "activation_checkpointing",
        "compile",
        "sharding",
        "checkpoint_every",
        "keep_checkpoints",
        "keep_every",
        "evaluate_every",
        "sample_every",
        "diverge_factor",
        "num_workers",
        "cpu_threads",
        "trackers",
        "latents",
    }
)
"""Fields that a resumed run may change, since the weights that it ends with do not depend on them."""
