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
from safetensors.torch import load_file, save_file
from torch import Tensor

from vpdata.clips.resize import resize
from vpdata.shards.dataset import Dataset
from vptrain.config import AutoencoderConfig
from vptrain.models.autoencoder import build_autoencoder
from vptrain.recipes.models import TINY

PEAK_RATE = 2e-3
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


def train(model: AutoencoderKLTemporalDecoder, sets: Sequence[Tensor], *, seconds: float, batch_size: int = 24) -> None:
    """Trains in place for a wall-clock time, every data set in equal shares; prints a line every hundred steps.

    Args:
        model: to train.
        sets: frames of each data set, uint8 (N, 3, H, W).
        seconds: how long.
        batch_size: frames a step.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> Tensor:
        owners = torch.randint(len(sets), (count,), generator=generator).tolist()
        places = [int(torch.randint(len(sets[owner]), (), generator=generator)) for owner in owners]
        return torch.stack([sets[owner][i] for owner, i in zip(owners, places, strict=True)]).float() / 127.5 - 1

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=1e-4)
    watched = draw(64)
    begin, step = time.monotonic(), 0
    while (elapsed := time.monotonic() - begin) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * elapsed / seconds))
        frames = draw(batch_size)
        posterior = model.encode(frames).latent_dist
        reconstructed = model.decode(posterior.sample(generator), num_frames=1).sample
        loss = reconstruction_loss(reconstructed, frames) + KL_WEIGHT * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            psnr = mean_psnr(model, watched)
            print(f"step {step}  {elapsed:.0f} s  loss {loss.item():.4f}  PSNR {psnr:.2f} dB", flush=True)


def latent_scale(model: AutoencoderKLTemporalDecoder, sets: Sequence[Tensor]) -> float:
    """1 / the standard deviation of the latents of up to 128 evenly spaced frames of each data set."""
    chosen = torch.cat([frames[:: max(1, len(frames) // 128)] for frames in sets])
    with torch.no_grad():
        return 1.0 / float(model.encode(chosen.float() / 127.5 - 1).latent_dist.mode().std())


def initialise(config: AutoencoderConfig) -> AutoencoderKLTemporalDecoder:
    """A fresh model whose posterior starts almost deterministic, which trains much faster."""
    model = build_autoencoder(config)
    with torch.no_grad():
        model.quant_conv.weight[config.latent_channels :].zero_()
        model.quant_conv.bias[config.latent_channels :].fill_(-6.0)
    return model


def read_frames(folder: Path, *, size: int) -> Tensor:
    """All frames of all cameras of a data set, cropped and scaled to uint8 (N, 3, size, size)."""
    dataset = Dataset.open(folder)
    frames = [
        resize(dataset.frames(clip, camera.name, range(clip.num_frames)), height=size, width=size, fit="crop")
        for clip in dataset.clips
        for camera in clip.episode.cameras
    ]
    return torch.from_numpy(np.concatenate(frames)).permute(0, 3, 1, 2).contiguous()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=1500)
    parser.add_argument("--from", dest="start", type=Path, help="go on from these weights")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = initialise(TINY.autoencoder)
    if args.start:
        model.load_state_dict(load_file(args.start))
    sets = [read_frames(folder, size=TINY.image_size) for folder in args.datasets]
    train(model, sets, seconds=args.seconds)
    print(f"scaling factor {latent_scale(model, sets):.4f}")
    save_file(model.state_dict(), args.out)


if __name__ == "__main__":
    main()
