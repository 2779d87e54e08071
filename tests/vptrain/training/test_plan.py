"""What `--dry-run` says, against the real thing."""

import json
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from commands import Vptrain
from micro import MICRO, STAGE1, STAGE2, silent

from vpdata.errors import MixtureError
from vpdata.mixture.mixture import Mixture
from vptrain.checkpoint import training_policy
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.recipes.models import SVD, TINY
from vptrain.recipes.published import robocasa24
from vptrain.training.engine import Engine
from vptrain.training.footprint import LiveBytes, NoText, example_batch, footprint, optimizer_bytes
from vptrain.training.learner import Learner
from vptrain.training.plan import make_plan, num_checkpoints_of, num_positions_of
from vptrain.training.start import start_stage1

CAMERAS = MICRO.cameras


@cache
def footprint_of(run: RunConfig, *, windows: int = 2, processes: int = 1) -> dict[str, int]:
    found = footprint(MICRO, run, layout=CAMERAS, windows=windows, num_kept=windows, processes=processes)
    assert found.total > found.activations > 0
    return {name: getattr(found, name) for name in found.__slots__ if name != "parts"}


@pytest.mark.parametrize(
    "run",
    [
        replace(STAGE1, activation_checkpointing=True, ema_decay=0.9),
        replace(STAGE1, lora_rank=4, optimizer="adamw"),
        STAGE2,
        replace(STAGE1, stage="joint"),
    ],
    ids=["checkpointed", "adapters", "stage2", "joint"],
)
def test_it_is_what_a_real_step_takes(run: RunConfig) -> None:
    run = replace(run, batch_size=2, trackers=())
    expected = footprint_of(run)
    with LiveBytes() as live:
        policy = training_policy(initial_policy(MICRO, seed=0), run)
        learner = Learner.make(
            policy, run=run, engine=Engine.start(run, device="cpu"), text=CachedText(NoText(MICRO.text.dim))
        )
        batch = example_batch(MICRO, layout=CAMERAS, windows=2, labelled=run.stage != "stage1")
        for step in range(2):
            live.peak = live.now
            items = learner.features([batch]) if run.stage == "stage2" else [batch]
            learner.update(items, turn=0, step=step, stopping=False)
    state = learner.optimizer.state_dict()["state"]
    moments = sum(t.numel() * t.element_size() for one in state.values() for t in one.values())
    assert moments == expected["optimizer"]
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    assert sum(4 * parameter.numel() for parameter in trained) == expected["gradients"]
    assert expected["average"] == (expected["gradients"] if run.ema_decay else 0)
    assert sum(4 * parameter.numel() for parameter in policy.parameters()) == expected["weights"]
    total = sum(expected[name] for name in expected if name != "checkpoint")
    assert 0.9 * total < live.peak < 1.1 * total


def test_no_weight_of_the_full_size_is_made() -> None:
    recipe = robocasa24()
    run = replace(recipe.run("stage2"), reuse_block=4)
    found = footprint(SVD, run, layout=SVD.cameras, windows=1, num_kept=4, processes=1)
    sizes = {part.name: (part.parameters, part.trained) for part in found.parts}
    assert sizes["unet"] == (1_524_623_082, 0)
    assert sizes["encoder"] == (205_812_616, 205_812_616)
    assert found.weights == 4 * sum(parameters for parameters, _ in sizes.values())
    assert found.gradients == 4 * sum(trained for _, trained in sizes.values())
    kilobytes = sum(  # of the five features of a window, 25 frames, bf16 (METHOD, section 4), and a time embedding
        channels * size**2 * 25 * 2 / 1000 for channels, size in ((1280, 4), (1280, 4), (1280, 8), (640, 16), (320, 32))
    )
    assert found.features / 4000 == pytest.approx(kilobytes, rel=0.5)
    assert found.features > 4 * 1000 * kilobytes
    assert type(torch.zeros(1)) is torch.Tensor  # outside, torch is as it was


def test_settings_cost_what_they_should() -> None:
    plain = footprint_of(STAGE1)
    checkpointed = footprint_of(replace(STAGE1, activation_checkpointing=True))
    assert checkpointed["activations"] < 0.8 * plain["activations"]
    assert footprint_of(replace(STAGE1, precision="bf16"))["activations"] < plain["activations"]
    adapted = footprint_of(replace(STAGE1, lora_rank=2))
    assert adapted["gradients"] < 0.1 * plain["gradients"]
    assert adapted["checkpoint"] < plain["checkpoint"]


def test_processes_share_what_is_sharded() -> None:
    alone, replicated = footprint_of(STAGE1), footprint_of(STAGE1, processes=4)
    assert (alone["exchange"], replicated["exchange"]) == (0, alone["gradients"])
    sharded = footprint_of(replace(STAGE1, sharding="full"), processes=4)
    for name in ("gradients", "optimizer"):
        assert sharded[name] == alone[name] // 4
    policy = initial_policy(MICRO, seed=0)
    kept = 4 * sum(parameter.numel() for parameter in policy.autoencoder.parameters())
    assert sharded["weights"] == kept + (alone["weights"] - kept) // 4
    assert sharded["checkpoint"] == alone["checkpoint"]


def test_moments_of_eight_bits() -> None:
    small, large = 4095, 4097
    run = replace(STAGE1, optimizer="adamw8bit")
    assert optimizer_bytes([small], run) == 8 * small
    assert optimizer_bytes([large], run) == 2 * large + 2 * 4 * 17
    assert optimizer_bytes([small], STAGE1) == 8 * small + 4


@pytest.mark.parametrize("run", [replace(STAGE1, steps=40), replace(STAGE2, steps=40, reuse=3, reuse_block=4)])
def test_windows_layouts_and_passes_are_those_of_the_stream(mixture: Mixture, run: RunConfig) -> None:
    plan = make_plan(mixture, model=MICRO, run=run, processes=3)
    assert (plan.windows_a_process, plan.windows_at_a_time) == (1, 1)
    stream = mixture if run.stage == "stage1" else mixture.labelled_only()
    assert plan.num_positions == (120 if run.stage == "stage1" else 4 * 4 * 3)
    refs = [stream.locate(position) for position in range(plan.num_positions)]
    seen = Counter(ref.component for ref in refs)
    for component in plan.components:
        assert abs(component.share * plan.num_positions - seen[component.name]) <= 2
        assert component.passes == pytest.approx(component.share * plan.num_positions / component.num_windows)
    assert seen.keys() <= {component.name for component in plan.components}
    shown = Counter()  # type: ignore[var-annotated]
    for ref in refs:
        names = [camera.name for camera in mixture.datasets[ref.dataset].clips[ref.clip].episode.cameras]
        shown[tuple(name for name in CAMERAS if name in names) or (names[0],)] += 1
    shares = {layout.cameras: layout.share for layout in plan.layouts}
    assert sum(shares.values()) == pytest.approx(1)
    assert shown.keys() <= shares.keys()
    for cameras, count in shown.items():
        assert shares[cameras] == pytest.approx(count / plan.num_positions, abs=0.12)


@pytest.mark.parametrize(
    ("steps", "every", "keep", "keep_every", "expected"),
    [(10, 3, 2, None, 2), (10, 3, 2, 3, 4), (10, 3, 2, 6, 3), (2, 5, 3, None, 1), (12, 3, 1, None, 1)],
)
def test_so_many_checkpoints_stay(steps: int, every: int, keep: int, keep_every: int | None, expected: int) -> None:
    run = replace(STAGE1, steps=steps, checkpoint_every=every, keep_checkpoints=keep, keep_every=keep_every)
    assert num_checkpoints_of(run) == expected


def test_a_checkpoint_is_as_large_as_it_says(mixture_file: Path, tmp_path: Path) -> None:
    run = replace(STAGE1, steps=1, batch_size=1, ema_decay=0.9, trackers=())
    plan = make_plan(Mixture.open(mixture_file), model=MICRO, run=run, processes=1)
    start_stage1(mixture_file, tmp_path / "run", model=MICRO, run=run, device="cpu").train(silent)
    (folder,) = (tmp_path / "run" / "checkpoints").glob("step-*")
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size == pytest.approx(plan.footprint.checkpoint, rel=0.1)


def test_what_cannot_run_is_refused(mixture: Mixture) -> None:
    with pytest.raises(VptrainError, match="3 windows a step cannot be shared equally by 2 processes"):
        make_plan(mixture, model=MICRO, run=STAGE1, processes=2)
    short = replace(mixture, num_positions=8)
    with pytest.raises(VptrainError, match="ends after 8 windows, 3 steps need 9"):
        make_plan(short, model=MICRO, run=STAGE1, processes=1)
    videos = replace(mixture, components=tuple(c for c in mixture.components if not c.labelled))
    with pytest.raises(MixtureError, match="no window has actions"):
        make_plan(videos, model=MICRO, run=STAGE2, processes=1)


def test_positions_are_those_that_a_run_reaches() -> None:
    assert num_positions_of(replace(STAGE1, steps=5)) == 15
    assert num_positions_of(replace(STAGE2, steps=5, reuse=2, reuse_block=2)) == 2 * 2 * 3


def test_dry_run_prints_and_writes_nothing(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    arguments = ("--recipe", "tiny", "--mixture", mixture_file, "--out", tmp_path / "run", "--dry-run")
    shown = vptrain("stage1", *arguments, "--steps", 7, "--processes", 2)
    assert shown.exit_code == 0, shown.stderr
    for text in ("autoencoder", "activations", "checkpoints", "wrist", "robocasa/labelled", "2 windows each"):
        assert text in shown.stdout
    found = json.loads(vptrain("stage2", *arguments, "--json", "--set", "reuse=2").stdout)
    assert (found["run"]["recipe"], found["run"]["reuse"], found["model"]) == ("tiny", 2, TINY.name)
    assert found["footprint"]["total"] > found["footprint"]["weights"]
    assert list(tmp_path.iterdir()) == []


def test_dry_run_of_a_run_to_come(vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    arguments = ("--mixture", mixture_file, "--out", tmp_path / "run")
    shown = vptrain("stage2", *arguments, "--from", stage1_run, "--dry-run", "--json")
    assert json.loads(shown.stdout)["model"] == "micro"
    assert vptrain("stage2", *arguments, "--dry-run").exit_code == 2
    assert "--processes" in vptrain("stage1", *arguments, "--processes", 2).stderr
    assert (
        "--dry-run" in vptrain("stage1", "--mixture", mixture_file, "--out", stage1_run, "--resume", "--dry-run").stderr
    )
    assert list(tmp_path.iterdir()) == []
