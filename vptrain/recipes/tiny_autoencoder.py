"""Trains the autoencoder of the `tiny` model, whose weights the package carries.

    python -m vptrain.recipes.tiny_autoencoder data/libero data/robocasa --seconds 1500 --out autoencoder.safetensors

It is an ordinary `AutoencoderKLTemporalDecoder` of small widths, trained on single frames of ingested data sets with
absolute, squared and gradient errors and a small KL term. The scaling factor that it prints, 1 / the latents' standard
deviation, belongs into the model's configuration.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from vpdata.clips.resize import resize
from vpdata.shards.dataset import Dataset
from vptrain.config import AutoencoderConfig
from vptrain.models.autoencoder import build_autoencoder
from vptrain.recipes.models import TINY

KL_WEIGHT = 1e-6


def reconstruction_loss(reconstructed: Tensor, frames: Tensor) -> Tensor:
    """L1 + 2·squared error + half the L1 error of horizontal and vertical differences, for frames in [-1, 1]."""
    error = reconstructed - frames
    across = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * across


def mean_psnr(model: AutoencoderKLTemporalDecoder, frames: Tensor) -> float:
    """Mean PSNR in dB of encoding to the mode and decoding, for frames in [-1, 1]."""
    with torch.no_grad():
        error = (model.decode(model.encode(frames).latent_dist.mode(), num_frames=1).sample.clamp(-1, 1) - frames) / 2
    return float((-10 * error.square().mean(dim=(1, 2, 3)).log10()).mean())


def train(
    model: AutoencoderKLTemporalDecoder, frames_NHWC: NDArray[np.uint8], *, seconds: float, batch_size: int = 24
) -> None:
    """Trains in place for a wall-clock time; prints a line every hundred steps."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=1e-4)
    images = torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2)
    watched = images[torch.randperm(len(images), generator=generator)[:64]].float() / 127.5 - 1
    begin, step = time.monotonic(), 0
    while (elapsed := time.monotonic() - begin) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * elapsed / seconds)) + 1e-6
        frames = images[torch.randint(len(images), (batch_size,), generator=generator)].float() / 127.5 - 1
        posterior = model.encode(frames).latent_dist
        reconstructed = model.decode(posterior.sample(generator), num_frames=1).sample
        loss = reconstruction_loss(reconstructed, frames) + KL_WEIGHT * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            print(
                f"step {step}  {elapsed:.0f} s  loss {loss.item():.4f}  PSNR {mean_psnr(model, watched):.2f} dB",
                flush=True,
            )


def latent_scale(model: AutoencoderKLTemporalDecoder, frames_NHWC: NDArray[np.uint8]) -> float:
    """1 / the standard deviation of the latents of up to 512 evenly spaced frames."""
    chosen = frames_NHWC[:: max(1, len(frames_NHWC) // 512)]
    with torch.no_grad():
        latents = model.encode(torch.from_numpy(chosen).permute(0, 3, 1, 2).float() / 127.5 - 1).latent_dist.mode()
    return 1.0 / float(latents.std())


def initialise(config: AutoencoderConfig) -> AutoencoderKLTemporalDecoder:
    """A fresh model whose posterior starts almost deterministic, which trains much faster."""
    model = build_autoencoder(config)
    with torch.no_grad():
        model.quant_conv.weight[config.latent_channels :].zero_()
        model.quant_conv.bias[config.latent_channels :].fill_(-6.0)
    return model


def read_frames(folders: Sequence[Path], *, every: int, size: int) -> NDArray[np.uint8]:
    """Every n-th frame of all cameras of all clips, cropped and scaled to (N, size, size, 3)."""
    frames = []
    for folder in folders:
        dataset = Dataset.open(folder)
        for clip in dataset.clips:
            indices = range(0, clip.num_frames, every)
            for camera in clip.episode.cameras:
                recorded = dataset.frames(clip, camera.name, indices)
                frames.append(resize(recorded, height=size, width=size, fit="crop"))
    return np.concatenate(frames)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=1500)
    parser.add_argument("--every", type=int, default=2, help="use every n-th frame")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = initialise(TINY.autoencoder)
    frames = read_frames(args.datasets, every=args.every, size=TINY.image_size)
    train(model, frames, seconds=args.seconds)
    print(f"scaling factor {latent_scale(model, frames):.4f}")
    save_file(model.state_dict(), args.out)


if __name__ == "__main__":
    main()
