"""Times training steps of one kind, in a process of its own: a `Job` as JSON enters, a `Measured` as JSON leaves.

Batches are noise of the right shapes that lies on the device, so that no loader is measured.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.model.plain_loop import PlainLoop
from vptrain.batch import Batch
from vptrain.checkpoint import training_policy
from vptrain.config import ModelConfig, RunConfig, overridden
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.recipes.models import SVD, TINY
from vptrain.recipes.runs import run_config
from vptrain.training.engine import Engine
from vptrain.training.footprint import NoText, example_batch, footprint
from vptrain.training.learner import Learner
from vptrain.training.optimizer import freeze
from vptrain.training.step import StageLosses

WARM_UP_STEPS = 2
WIDE = replace(
    TINY,
    name="wide",
    unet=replace(TINY.unet, block_out_channels=(128, 128, 256, 256), norm_groups=16),
    pretrained="random",
)
"""Tiny, twice as wide: so that weights, and not torch itself, are what its memory holds."""
MODELS = {model.name: model for model in (SVD, TINY, WIDE)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to time.

    Attributes:
        way: `ours`, or the `plain` loop.
        stage: stage1 or stage2.
        model: a name in `MODELS`.
        windows: in a step.
        settings: NAME=VALUE of ours.
        latents: whether batches show latents instead of pictures.
        device: cpu or cuda.
        steps: that are timed.
    """

    way: str
    stage: str
    model: str
    windows: int
    settings: tuple[str, ...] = ()
    latents: bool = False
    device: str = "cpu"
    steps: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of it.

    Attributes:
        fits: false where the device's memory did not suffice; the rest is then 0.
        seconds: a step, the median.
        peak_bytes: CPU: the process's largest resident size in a step less that before there was a model; GPU: the
            largest that torch had allotted.
        estimated_bytes: what `--dry-run` says; 0 for the plain loop.
        flops: of a step's windows, counted without anything computed twice.
        matmul_flops: a second, of a large bf16 product on the same device.
        images: a step's, of all cameras.
    """

    fits: bool = True
    seconds: float = 0.0
    peak_bytes: int = 0
    estimated_bytes: int = 0
    flops: int = 0
    matmul_flops: float = 0.0
    images: int = 0


def measure(job: Job) -> Measured:
    """Warms up, and times a job's steps."""
    model, run = MODELS[job.model], _run(job)
    device = torch.device(job.device)
    resident = _status("VmRSS")
    try:
        step = _plain(job, model) if job.way == "plain" else _ours(job, model, run)
        for _ in range(WARM_UP_STEPS):
            step()
        _forget_peak(device)
        seconds = [_timed(step, device) for _ in range(job.steps)]
    except torch.OutOfMemoryError:
        return Measured(fits=False)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM") - resident
    return Measured(
        seconds=statistics.median(seconds),
        peak_bytes=peak,
        estimated_bytes=_estimated(job, model, run) if job.way == "ours" else 0,
        flops=job.windows * count_flops(model, run, windows=1, latents=job.latents),
        matmul_flops=matmul_rate(device),
        images=job.windows * len(model.cameras) * model.num_frames,
    )


def _run(job: Job) -> RunConfig:
    stages = {"stage1": run_config(SVD, "stage1"), "stage2": run_config(SVD, "stage2")}
    return overridden(replace(stages[job.stage], batch_size=job.windows), job.settings)


def _ours(job: Job, model: ModelConfig, run: RunConfig) -> Callable[[], object]:
    policy = training_policy(_policy(model, job.device), run).to(job.device)
    engine = Engine.start(run, device=job.device)
    learner = Learner.make(policy, run=run, engine=engine, text=CachedText(NoText(model.text.dim)))
    parts = _batch(job, model).split(run.micro_batch_size)
    if run.stage == "stage1":
        return lambda: learner.update(parts, turn=0, step=0, stopping=False)
    return lambda: learner.update(learner.features(parts), turn=0, step=0, stopping=False)


def _policy(model: ModelConfig, device: str) -> VideoPolicy:
    with torch.device(device):  # where the full size takes a moment, and a minute on a CPU
        return VideoPolicy(model)


def _plain(job: Job, model: ModelConfig) -> Callable[[], object]:
    loop = PlainLoop.make(_policy(model, job.device), stage=job.stage, learning_rate=1e-5)
    batch = _batch(job, model)
    return lambda: loop.update(batch)


def _batch(job: Job, model: ModelConfig) -> Batch:
    batch = example_batch(
        model, layout=model.cameras, windows=job.windows, labelled=job.stage != "stage1", latents=job.latents
    )
    if batch.frames_BVFHWC is not None:
        return replace(batch, frames_BVFHWC=batch.frames_BVFHWC.to(job.device))
    assert batch.latents is not None
    moved = {name: getattr(batch.latents, name).to(job.device) for name in batch.latents.__slots__}
    return replace(batch, latents=replace(batch.latents, **moved))


def count_flops(model: ModelConfig, run: RunConfig, *, windows: int, latents: bool) -> int:
    """Of one forward and backward pass, with nothing computed twice; counted on tensors without content."""
    with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH):
        policy = VideoPolicy(model)
        freeze(policy, replace(run, lora_rank=None))
        losses = StageLosses(policy, text=CachedText(NoText(model.text.dim)), run=replace(run, precision="fp32"))
        batch = example_batch(
            model, layout=model.cameras, windows=windows, labelled=run.stage != "stage1", latents=latents
        )
        with FlopCounterMode(display=False) as counter:
            losses(batch).sum().backward()
    return int(counter.get_total_flops())


def matmul_rate(device: torch.device) -> float:
    """Operations a second of a large bf16 product."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    return 2 * size**3 / statistics.median(_timed(lambda: a @ b, device) for _ in range(10))


def _timed(step: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def _estimated(job: Job, model: ModelConfig, run: RunConfig) -> int:
    at_a_time = min(job.windows, run.micro_batch_size or job.windows)
    settings = replace(run, latents="latents" if job.latents else None)
    return footprint(model, settings, layout=model.cameras, windows=at_a_time, num_kept=job.windows).total


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    """A size of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


if __name__ == "__main__":
    values = json.loads(sys.argv[1])
    print(json.dumps(asdict(measure(Job(**values | {"settings": tuple(values["settings"])})))), flush=True)
