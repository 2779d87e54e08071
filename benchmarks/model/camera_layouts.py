"""Two ways to train on windows of one camera and of three: a pass a camera layout, or absent views as masked zeros.

    OMP_NUM_THREADS=1 python benchmarks/model/camera_layouts.py

Trains the `tiny` model's stage 1 on a mixture of this repository's recordings: RoboCasa with three cameras and actions,
videos with one camera and none. Both ways get the same windows, noise and number of steps, and are interleaved step by
step, so that what else the machine does slows both. *Layouts* is what vptrain does. *Masked* exists only here: every
window has three views, those that it lacks are zero latents (noisy and first-frame ones) whose error does not count.
Prints held-out losses and windows a second as a table, or as JSON.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vpdata.cli import output
from vpdata.ingest import IngestOptions, ingest
from vpdata.loader.dataset import WindowDataset
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vptrain.batch import Batch, make_batches, window_spec
from vptrain.config import ModelConfig, RunConfig
from vptrain.draws import Draws
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText, load_text_encoder
from vptrain.normalize import images_to_unit
from vptrain.objectives.edm import draw_sigma, video_loss
from vptrain.recipes.models import TINY
from vptrain.rollout.windows import spread_windows

RECORDINGS = Path(__file__).parents[2] / "tests" / "recordings"
NUM_VIEWS = 3
HELD_OUT_WINDOWS = 32
SOURCES = {"robocasa": "three cameras", "video": "one camera"}
PEAK_RATE = 1.5e-3
WARMUP_STEPS = 60
WAYS = ("layouts", "masked")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """What `video_loss` takes for windows of one layout: latents and noise (B, T, C, H, W), masks (B, T)."""

    latents: Tensor
    condition: Condition
    sigma_B: Tensor
    noise: Tensor
    mask_BT: Tensor

    def losses(self, policy: VideoPolicy) -> Tensor:
        return video_loss(
            policy, self.latents, self.condition, sigma_B=self.sigma_B, noise=self.noise, mask_BT=self.mask_BT
        )


def draw(policy: VideoPolicy, batch: Batch, text: CachedText, run: RunConfig, seed: str) -> Drawn:
    draws = Draws(seed=seed, keys=batch.keys, device=torch.device("cpu"))
    frames = images_to_unit(batch.frames_BVFHWC)
    first, num_frames = frames[:, :, 0], frames.shape[1] * frames.shape[2]
    latents = policy.encode_video(frames, noise=draws.normal("posterior", policy.config.latent_shape(num_frames)))
    condition = policy.encode_condition(
        first,
        text.encode(batch.instructions),
        layout=batch.layout,
        noise_BVCHW=draws.normal("first frames", first.shape[1:]),
    )
    return Drawn(
        latents=latents,
        condition=condition,
        sigma_B=draw_sigma(draws.normal("sigma", ()), mean=run.log_sigma_mean, std=run.log_sigma_std),
        noise=draws.normal("video", latents.shape[1:]),
        mask_BT=batch.mask_BT,
    )


def masked(parts: Sequence[Drawn], config: ModelConfig) -> Drawn:
    """All windows as one batch of `NUM_VIEWS` views, absent ones zero and masked."""
    num_rows = 1 + NUM_VIEWS * config.num_frames

    def whole(part: Tensor) -> Tensor:
        missing = torch.zeros(len(part), num_rows - part.shape[1], *part.shape[2:], dtype=part.dtype)
        return torch.cat([part, missing], dim=1)

    text = [part.condition.text_BTE[:, :1].expand(-1, num_rows, -1) for part in parts]
    condition = Condition(
        latents_BTCHW=torch.cat([whole(part.condition.latents_BTCHW) for part in parts]),
        text_BTE=torch.cat(text),
        layout=config.cameras[:NUM_VIEWS],
    )
    return Drawn(
        latents=torch.cat([whole(part.latents) for part in parts]),
        condition=condition,
        sigma_B=torch.cat([part.sigma_B for part in parts]),
        noise=torch.cat([whole(part.noise) for part in parts]),
        mask_BT=torch.cat([whole(part.mask_BT) for part in parts]),
    )


@dataclass(slots=True, kw_only=True)
class Trained:
    """One way's policy, its optimizer, and what its steps took."""

    way: str
    policy: VideoPolicy
    run: RunConfig
    optimizer: torch.optim.Optimizer = field(init=False)
    seconds: float = 0.0
    windows: int = 0

    def __post_init__(self) -> None:
        self.policy.requires_grad_(False)
        parameters = list(self.policy.unet.requires_grad_(True).parameters())
        self.optimizer = torch.optim.Adam(parameters, lr=0.0)

    def losses(self, batches: Sequence[Batch], text: CachedText, seed: str) -> Tensor:
        parts = [draw(self.policy, batch, text, self.run, seed) for batch in batches]
        if self.way == "masked":
            parts = [masked(parts, self.policy.config)]
        return torch.cat([part.losses(self.policy) for part in parts])

    def step(self, batches: Sequence[Batch], text: CachedText, number: int) -> None:
        begin = time.perf_counter()
        warm = min(1.0, (number + 1) / WARMUP_STEPS)
        rate = self.run.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * number / self.run.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.losses(batches, text, f"{self.run.seed}")
        losses.mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.unet.parameters(), 1.0)
        self.optimizer.step()
        self.seconds += time.perf_counter() - begin
        self.windows += len(losses)

    @torch.no_grad()
    def held_out(self, batches: Sequence[Batch], text: CachedText) -> float:
        return self.losses(batches, text, "held out").mean().item()


def mixed_cameras(folder: Path, config: ModelConfig) -> Mixture:
    """Half of the windows from RoboCasa, half from videos; one episode in five of each is held out."""
    pool = {}
    for source in SOURCES:
        ingest(source, [RECORDINGS / source], folder / source, IngestOptions(window_span=config.span), workers=1)
        pool[source] = Dataset.open(folder / source)
    return make_mixture(pool, file=folder / "mix.toml", action_free=Fraction(1, 2), holdout=Fraction(1, 5))


def compare(
    mixture: Mixture, config: ModelConfig, *, steps: int, batch_size: int, seed: int
) -> list[dict[str, object]]:
    """Trains both ways; a row a way."""
    text = load_text_encoder(config.text)
    stream = WindowDataset(mixture, window_spec(config))
    held_out = {
        name: make_batches(
            spread_windows(
                [placed for placed in mixture.held_out_clips() if placed.source == name],
                config,
                count=HELD_OUT_WINDOWS,
            ),
            image_size=config.image_size,
        )
        for name in SOURCES
    }
    run = RunConfig(stage="stage1", steps=steps, batch_size=batch_size, learning_rate=PEAK_RATE, seed=seed)
    ways = [Trained(way=way, policy=initial_policy(config, seed=seed), run=run) for way in WAYS]
    for number in range(steps):
        first = (seed * steps + number) * batch_size
        batches = make_batches([stream[first + i] for i in range(batch_size)], image_size=config.image_size)
        for trained in ways if number % 2 else reversed(ways):
            trained.step(batches, text, number)
    return [
        {
            "way": trained.way,
            "seed": seed,
            **{f"held-out loss, {SOURCES[name]}": trained.held_out(one, text) for name, one in held_out.items()},
            "windows/s": trained.windows / trained.seconds,
        }
        for trained in ways
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120, help="of every run")
    parser.add_argument("--batch-size", type=int, default=4, help="windows a step")
    parser.add_argument(
        "--seeds", type=int, default=2, help="runs of both ways, each with weights and windows of its own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mixture = mixed_cameras(Path(folder), TINY)
        rows = [
            row
            for seed in range(args.seeds)
            for row in compare(mixture, TINY, steps=args.steps, batch_size=args.batch_size, seed=seed)
        ]
    if args.json:
        output.print_json(rows)
    else:
        output.print_table(rows)


if __name__ == "__main__":
    main()
