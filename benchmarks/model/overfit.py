"""Overfits the `tiny` model to one window of a recorded clip, both stages, on a CPU; prints the figures as JSON.

Exits with 1 where the video stays below 30 dB or the actions' error exceeds 1 % of the range (root mean square).

    python benchmarks/model/overfit.py

A model that cannot learn one window by heart has a fault somewhere between pixels and actions. The video is compared in
pixels with the recording, and with what the frozen autoencoder makes of the recording, which bounds the former.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vpdata.ingest import IngestOptions, ingest
from vpdata.loader.window import cut_window
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
from vptrain.batch import Batch, make_batches, window_spec
from vptrain.config import ModelConfig, RunConfig
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText, load_text_encoder
from vptrain.models.unet import UNetOutput
from vptrain.normalize import ActionNormalizer, images_to_unit, unit_to_images
from vptrain.objectives.edm import Preconditioning, draw_sigma, like, noisy_features, velocity, video_loss
from vptrain.recipes.models import TINY
from vptrain.rollout.policy import predict
from vptrain.training.optimizer import freeze, make_optimizer

RECORDINGS = Path(__file__).parents[2] / "tests" / "recordings" / "robocasa"
MIN_PSNR_DB = 30.0
MAX_ACTION_ERROR = 0.01
NUM_COPIES = 2
NUM_DRAWS = 32
NUM_KEPT = 16
PEAK_RATE = 1.5e-3
WARMUP_STEPS = 60


def one_window(config: ModelConfig) -> Batch:
    """The middle window of the OpenDrawer recording, with its actions normalised over all recorded ones."""
    with tempfile.TemporaryDirectory() as folder:
        ingest("robocasa", [RECORDINGS], Path(folder) / "data", IngestOptions(window_span=config.span), workers=1)
        mixture = make_mixture({"robocasa": Dataset.open(Path(folder) / "data")}, file=Path(folder) / "mix.toml")
        placed = next(placed for placed in mixture.training_clips() if placed.clip.episode.task == "OpenDrawer")
        normalizer = ActionNormalizer.fit(mixture.training_clips(), space=config.action_space)
        window = cut_window(
            placed.dataset,
            placed.clip,
            placed.clip.num_actions // 2,
            window_spec(config),
            labelled=True,
            source="robocasa",
        )
        (batch,) = make_batches([window] * NUM_COPIES, image_size=config.image_size, normalizer=normalizer)
    return batch


def fit(policy: VideoPolicy, run: RunConfig, loss: Callable[[torch.Generator], Tensor]) -> float:
    """Trains what the stage trains; returns the seconds that it took."""
    freeze(policy, run)
    optimizer = make_optimizer(policy, run)
    begin = time.monotonic()
    for step in range(run.steps):
        warm = min(1.0, (step + 1) / WARMUP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * warm * 0.5 * (1 + math.cos(math.pi * step / run.steps))
        optimizer.zero_grad()
        loss(torch.Generator().manual_seed(step)).mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for p in policy.parameters() if p.requires_grad], 1.0)
        optimizer.step()
    return time.monotonic() - begin


def overfit(policy: VideoPolicy, batch: Batch, text: CachedText, *, stage1: int, stage2: int) -> dict[str, float]:
    """Trains both stages for so many steps on noised copies of one window; returns the seconds of each."""
    run = RunConfig(stage="stage1", steps=stage1, batch_size=NUM_COPIES, learning_rate=PEAK_RATE)
    generator = torch.Generator().manual_seed(0)
    frames = images_to_unit(batch.frames_BVFHWC)
    first = frames[:, :, 0]
    shape = policy.config.latent_shape(frames.shape[1] * frames.shape[2])
    latents = policy.encode_video(frames, noise=torch.randn(len(batch), *shape, generator=generator))
    noise = torch.randn(first.shape, generator=generator)
    condition = policy.encode_condition(first, text.encode(batch.instructions), layout=batch.layout, noise_BVCHW=noise)

    def draws(generator: torch.Generator) -> dict[str, Tensor]:
        normal = torch.randn(len(batch), generator=generator)
        sigma = draw_sigma(normal, mean=run.log_sigma_mean, std=run.log_sigma_std)
        return {"sigma_B": sigma, "noise": torch.randn(latents.shape, generator=generator)}

    def of_video(generator: torch.Generator) -> Tensor:
        return video_loss(policy, latents, condition, **draws(generator), mask_BT=batch.mask_BT)

    kept: list[UNetOutput] = []

    def of_actions(generator: torch.Generator) -> Tensor:
        """As `head_loss`, with many draws of the actions' noise on kept features of the frozen UNet."""
        assert batch.actions_BAD is not None
        assert batch.action_mask_BA.all()
        if not kept:
            kept.extend(_features(policy, latents, condition, count=NUM_KEPT))
        output_of = kept[int(torch.randint(NUM_KEPT, (), generator=generator))]
        vision = policy.vision(output_of, layout=batch.layout).repeat_interleave(NUM_DRAWS, dim=0)
        clean = batch.actions_BAD.repeat_interleave(NUM_DRAWS, dim=0)
        normal = torch.randn(len(clean), generator=generator)
        sigma = draw_sigma(normal, mean=run.log_sigma_mean, std=run.log_sigma_std)
        noisy = clean + torch.randn(clean.shape, generator=generator) * like(sigma, clean)
        p = Preconditioning.at(sigma)
        output = policy.run_head(noisy * like(p.c_in, noisy), p.c_noise, vision_BE=vision)
        return (output - velocity(clean, noisy, p)).square()

    seconds = {"stage1": fit(policy, run, of_video)}
    seconds["stage2"] = fit(policy, replace(run, stage="stage2", steps=stage2), of_actions)
    return seconds


@torch.no_grad()
def _features(policy: VideoPolicy, latents: Tensor, condition: Condition, *, count: int) -> list[UNetOutput]:
    """What the trained UNet makes of the window at the sampler's first noise level, for several draws of noise."""
    sigma = torch.full((len(latents),), policy.config.sampling.sigma_max)
    generator = torch.Generator().manual_seed(1)
    return [
        noisy_features(policy, latents, condition, sigma_B=sigma, noise=torch.randn(latents.shape, generator=generator))
        for _ in range(count)
    ]


def psnr(ours: Tensor, theirs: Tensor) -> float:
    """In dB, of uint8 frames after the first (peak 255)."""
    error = (ours[:, :, 1:].double() - theirs[:, :, 1:].double()).square().mean()
    return float(10 * torch.log10(255**2 / error))


@torch.no_grad()
def reconstructed(policy: VideoPolicy, batch: Batch) -> Tensor:
    """What the autoencoder makes of the recorded frames, as uint8."""
    frames = images_to_unit(batch.frames_BVFHWC)
    modes = policy.autoencoder.encode(frames.flatten(0, 2)).latent_dist.mode()
    latents = modes.unflatten(0, (len(frames), -1)) * policy.config.autoencoder.scaling_factor
    return unit_to_images(policy.decode_video(torch.cat([latents[:, :1], latents], dim=1)))


def measure(policy: VideoPolicy, batch: Batch, text: CachedText) -> dict[str, Any]:
    """Samples the window with new noise and compares; action errors are shares of the range [-1, 1]."""
    sampling = policy.config.sampling
    prediction = predict(policy, batch, text=text, sampling=sampling, seeds=range(len(batch)), with_actions=True)
    assert prediction.frames_BVFHWC is not None
    assert prediction.actions_BAD is not None
    assert batch.actions_BAD is not None
    error = (prediction.actions_BAD - batch.actions_BAD).abs()[batch.action_mask_BA] / 2
    bound = reconstructed(policy, batch)
    still = batch.frames_BVFHWC[:, :, :1].expand_as(batch.frames_BVFHWC)
    return {
        "psnr_to_reconstruction": round(psnr(prediction.frames_BVFHWC, bound), 2),
        "psnr_to_recording": round(psnr(prediction.frames_BVFHWC, batch.frames_BVFHWC), 2),
        "psnr_of_reconstruction": round(psnr(bound, batch.frames_BVFHWC), 2),
        "psnr_of_repeating_the_first_frame": round(psnr(still, batch.frames_BVFHWC), 2),
        "action_error_rms": round(float(error.square().mean().sqrt()), 5),
        "action_error_max": round(float(error.max()), 5),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage1", type=int, default=800, help="steps of the video UNet")
    parser.add_argument("--stage2", type=int, default=4000, help="steps of encoder and head")
    args = parser.parse_args()
    policy, text = initial_policy(TINY, seed=0), load_text_encoder(TINY.text)
    batch = one_window(TINY)
    seconds = overfit(policy, batch, text, stage1=args.stage1, stage2=args.stage2)
    result = measure(policy, batch, text)
    result |= {"cameras": list(batch.layout), "steps": [args.stage1, args.stage2], "threads": torch.get_num_threads()}
    print(json.dumps(result | {"seconds": {name: round(value) for name, value in seconds.items()}}, indent=2))
    if result["psnr_to_recording"] < MIN_PSNR_DB or result["action_error_rms"] > MAX_ACTION_ERROR:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
