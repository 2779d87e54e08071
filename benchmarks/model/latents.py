"""Training on pictures and on latents made in advance.

    OMP_NUM_THREADS=1 python benchmarks/model/latents.py

Trains stages 1 and 2 on this repository's RoboCasa recordings for some steps: on pictures, which are decoded and
encoded as it goes, then on latents of the same clips. A round does both, one after the other, so that what else the
machine does slows both; ratios are taken within a round, and given as the median over the rounds with the lowest and
the highest. The first steps of a run do not count. Also says what making the latents took. Prints a table, or JSON.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from vpdata.cli import output
from vpdata.ingest import IngestOptions, ingest
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
from vptrain.config import ModelConfig, RunConfig, StageName
from vptrain.latents.encode import LatentEncoder
from vptrain.latents.recipe import LatentRecipe
from vptrain.latents.write import LatentPlan, write
from vptrain.models.autoencoder import tensors_digest
from vptrain.models.pretrained import initial_policy
from vptrain.recipes.models import TINY
from vptrain.training.start import start_stage1, start_stage2
from vptrain.training.trainer import Progress

RECORDINGS = Path(__file__).parents[2] / "tests" / "recordings"
SOURCE = "robocasa"
SIZES = (64, 128)
STAGES: tuple[StageName, ...] = ("stage1", "stage2")
WARMUP_STEPS = 2


def windows_per_second(
    mixture: Path, folder: Path, *, model: ModelConfig, run: RunConfig, stage1: Path, device: str
) -> float:
    """Of all steps but the first ones."""
    ends: list[float] = []

    def note(_: Progress) -> None:
        ends.append(time.perf_counter())

    if run.stage == "stage1":
        start_stage1(mixture, folder, model=model, run=run, device=device).train(note)
    else:
        start_stage2(mixture, folder, stage1=stage1, run=run, device=device).train(note)
    return (len(ends) - WARMUP_STEPS) * run.batch_size / (ends[-1] - ends[WARMUP_STEPS - 1])


def make_latents(data: Path, out: Path, *, model: ModelConfig, device: str) -> dict[str, float]:
    """Latents of the data set; camera frames a second, and bytes a camera frame, of pictures and latents."""
    autoencoder = initial_policy(model, seed=0).autoencoder
    recipe = LatentRecipe.of(model, autoencoder=tensors_digest(autoencoder), color_jitter=False, num_variants=1)
    encoder = LatentEncoder(autoencoder, recipe, device=torch.device(device), chunk=32)
    plan = LatentPlan(source=Dataset.open(data), recipe=recipe)
    began = time.perf_counter()
    made = write(plan, out, encoder, num_workers=1)
    seconds = time.perf_counter() - began
    stored = plan.source.manifest.shards
    return {
        "camera frames/s encoded": plan.camera_frames / seconds,
        "bytes a camera frame, pictures": sum(shard.size for shard in stored) / plan.camera_frames,
        "bytes a camera frame, latents": sum(shard.size for shard in made.shards) / plan.camera_frames,
    }


def compare(folder: Path, *, model: ModelConfig, steps: int, rounds: int, device: str) -> list[dict[str, object]]:
    """A row a stage."""
    ingest(SOURCE, [RECORDINGS / SOURCE], folder / SOURCE, IngestOptions(window_span=model.span), workers=1)
    mixture = folder / "mix.toml"
    make_mixture({SOURCE: Dataset.open(folder / SOURCE)}, file=mixture).spec.write(mixture)
    made = make_latents(folder / SOURCE, folder / "latents" / SOURCE, model=model, device=device)
    first = RunConfig(stage="stage1", steps=1, batch_size=1, learning_rate=1e-4, color_jitter=False, trackers=())
    start_stage1(mixture, folder / "first", model=model, run=first, device=device).train(lambda _: None)
    rows: list[dict[str, object]] = []
    for stage in STAGES:
        run = replace(first, stage=stage, steps=WARMUP_STEPS + steps, batch_size=4, num_workers=1)
        rates: dict[str, list[float]] = {"pictures": [], "latents": []}
        for number in range(rounds):
            for way, found in rates.items():
                chosen = replace(run, latents=str(folder / "latents") if way == "latents" else None)
                out = folder / f"{stage}-{way}-{number}"
                found.append(
                    windows_per_second(mixture, out, model=model, run=chosen, stage1=folder / "first", device=device)
                )
        ratios = [fast / slow for slow, fast in zip(rates["pictures"], rates["latents"], strict=True)]
        rows.append(
            {
                "image size": model.image_size,
                "stage": stage,
                **{f"windows/s, {way}": statistics.median(found) for way, found in rates.items()},
                "ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                **made,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8, help="of every run, after the first ones")
    parser.add_argument("--rounds", type=int, default=3, help="of both ways")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="image sizes of the tiny model")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    rows = []
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            model = replace(TINY, image_size=size)
            rows += compare(Path(folder), model=model, steps=args.steps, rounds=args.rounds, device=args.device)
    if args.json:
        output.print_json(rows)
    else:
        output.print_table(rows)


if __name__ == "__main__":
    main()
