"""Each setting of a run does what it says, on the micro model and real windows."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from micro import MICRO, STAGE1, STAGE2, silent
from torch import Tensor, nn

from vpdata.loader.window import Window
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
from vptrain.batch import Batch, make_batches
from vptrain.checkpoint import Checkpoint, training_policy
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.lora import is_adapter, merge_adapters
from vptrain.models.policy import VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.reference import reference_names
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.training.engine import Engine
from vptrain.training.footprint import LiveBytes
from vptrain.training.learner import Learner
from vptrain.training.metrics import read_metrics
from vptrain.training.optimizer import rate_factor
from vptrain.training.start import resume, start_stage1, start_stage2
from vptrain.training.step import StageLosses
from vptrain.training.trainer import Progress

QUIET = replace(STAGE1, evaluate_every=99, checkpoint_every=99, trackers=())
JOINT = replace(QUIET, stage="joint")
STAGES = [QUIET, replace(QUIET, stage="stage2"), JOINT]


@pytest.fixture(scope="module")
def batch(labelled_windows: list[Window], normalizer: ActionNormalizer) -> Batch:
    """Three labelled windows."""
    (made,) = make_batches(labelled_windows[:3], normalizer=normalizer, image_size=MICRO.image_size)
    return made


@pytest.fixture(scope="module")
def small(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture file of RoboCasa alone, nothing held out."""
    file = tmp_path_factory.mktemp("manifests") / "small.toml"
    make_mixture({"robocasa": Dataset.open(datasets["robocasa"])}, file=file).spec.write(file)
    return file


def learner_of(run: RunConfig, text: CachedText) -> Learner:
    policy = training_policy(initial_policy(MICRO, seed=0), run)
    return Learner.make(policy, run=run, engine=Engine.start(run, device="cpu"), text=text)


def losses_and_gradients(run: RunConfig, batch: Batch, text: CachedText) -> tuple[Tensor, dict[str, Tensor]]:
    learner = learner_of(run, text)
    losses = learner.losses(batch)
    assert isinstance(losses, Tensor)
    losses.mean().backward()  # type: ignore[no-untyped-call]
    named = learner.losses.policy.named_parameters()
    return losses.detach(), {name: parameter.grad for name, parameter in named if parameter.grad is not None}


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def trained(small: Path, folder: Path, run: RunConfig) -> Checkpoint:
    start_stage1(small, folder, model=MICRO, run=run, device="cpu").train(silent)
    return Checkpoint.open(folder)


# --- precision


@pytest.mark.parametrize("run", STAGES, ids=lambda run: run.stage)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_gives_nearly_the_same_loss_and_float32_gradients(
    batch: Batch, text: CachedText, run: RunConfig, precision: str
) -> None:
    exact, _ = losses_and_gradients(run, batch, text)
    found, gradients = losses_and_gradients(replace(run, precision=precision), batch, text)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    rounding = {"bf16": 0.02, "fp16": 0.003}[precision]
    assert relative_error(found, exact) < (5 if run.stage == "stage2" else 1) * rounding
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}


def test_a_run_in_low_precision_keeps_float32_weights(small: Path, tmp_path: Path) -> None:
    losses: dict[str, list[float]] = {}
    for precision in ("fp32", "bf16", "fp16"):
        reported: list[Progress] = []
        run = replace(QUIET, steps=2, batch_size=1, precision=precision)
        start_stage1(small, tmp_path / precision, model=MICRO, run=run, device="cpu").train(reported.append)
        losses[precision] = [progress.loss for progress in reported]
        weights = Checkpoint.open(tmp_path / precision).load_policy().state_dict()
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    for precision in ("bf16", "fp16"):
        assert losses[precision] == pytest.approx(losses["fp32"], rel=0.02)
        assert losses[precision] != losses["fp32"]


@pytest.mark.parametrize(
    ("precision", "autoencoder_precision", "expected"),
    [
        ("fp32", None, torch.float32),
        ("fp16", None, torch.float32),
        ("bf16", None, torch.bfloat16),
        ("bf16", "fp32", torch.float32),
        ("fp32", "bf16", torch.bfloat16),
    ],
)
def test_the_autoencoder_has_a_precision_of_its_own(
    batch: Batch, text: CachedText, precision: str, autoencoder_precision: str | None, expected: torch.dtype
) -> None:
    run = replace(QUIET, precision=precision, autoencoder_precision=autoencoder_precision)
    policy = initial_policy(MICRO, seed=0)
    seen = dict[str, torch.dtype]()

    def note(name: str) -> object:
        return lambda _module, _inputs, output: seen.update({name: output.dtype})

    policy.autoencoder.encoder.conv_in.register_forward_hook(note("autoencoder"))
    policy.unet.conv_in.register_forward_hook(note("unet"))
    with torch.no_grad():
        StageLosses(policy, text=text, run=run)(batch)
    assert seen["autoencoder"] == expected
    assert seen["unet"] == {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


# --- memory


def test_micro_batches_have_the_same_loss_and_gradient(small: Path, tmp_path: Path) -> None:
    found: dict[int | None, tuple[float, float]] = {}
    for size in (None, 1, 2):
        run = replace(QUIET, steps=1, micro_batch_size=size)
        trained(small, tmp_path / str(size), run)
        (line,) = read_metrics(tmp_path / str(size) / "metrics.jsonl")
        found[size] = (line["loss"], line["gradient_norm"])
    assert found[1] == pytest.approx(found[None], rel=1e-3)
    assert found[2] == pytest.approx(found[None], rel=1e-3)
    assert found[1] != found[None]


@pytest.mark.parametrize("stage", ["stage1", "joint"])
def test_checkpointed_activations_give_the_very_same_gradients(batch: Batch, text: CachedText, stage: str) -> None:
    run = replace(QUIET, stage=stage, gradient_stop="reference")
    peaks = {}
    found = {}
    for checkpointed in (False, True):
        with LiveBytes() as live, live.above() as most:
            found[checkpointed] = losses_and_gradients(replace(run, activation_checkpointing=checkpointed), batch, text)
        peaks[checkpointed] = most[0]
    (losses, gradients), (losses_again, gradients_again) = found[False], found[True]
    assert torch.equal(losses, losses_again)
    assert gradients.keys() == gradients_again.keys()
    assert all(torch.equal(gradients[name], gradients_again[name]) for name in gradients)
    assert peaks[True] < 0.8 * peaks[False]


def test_channels_last_gives_the_same_loss(batch: Batch, text: CachedText) -> None:
    learner = learner_of(replace(QUIET, channels_last=True), text)
    weight = learner.losses.policy.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    expected, gradients = losses_and_gradients(QUIET, batch, text)
    found, gradients_found = losses_and_gradients(replace(QUIET, channels_last=True), batch, text)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        assert (gradients_found[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5, name


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="NO C COMPILER: torch.compile is NOT TESTED here"
)
def test_compiled_blocks_give_the_same_loss(batch: Batch, text: CachedText, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    learner = learner_of(replace(QUIET, compile=True), text)
    block, *others = learner.losses.policy.unet.blocks()
    assert all(one._compiled_call_impl is not None for one in (block, *others))
    for other in others:  # one is enough, and takes seconds
        other._compiled_call_impl = None
    with torch.no_grad():
        expected, found = learner_of(QUIET, text).losses(batch), learner.losses(batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# --- moving average


def test_the_average_is_the_formula_and_what_is_used(small: Path, tmp_path: Path) -> None:
    run = replace(QUIET, steps=2, batch_size=1, ema_decay=0.5, checkpoint_every=1, keep_checkpoints=9)
    checkpoint = trained(small, tmp_path / "run", run)
    name = "unet.conv_out.weight"
    average = initial_policy(MICRO, seed=0).state_dict()[name]
    for step in (1, 2):
        folder = tmp_path / "run" / "checkpoints" / f"step-{step:08d}"
        weight = Checkpoint.open(folder).load_training_policy().state_dict()[name]
        decay = min(0.5, step / (9 + step))  # as the class says, for update number step - 1
        average = decay * average + (1 - decay) * weight
    used, raw = checkpoint.load_policy().state_dict(), checkpoint.load_training_policy().state_dict()
    torch.testing.assert_close(used[name], average)
    assert not torch.allclose(used[name], raw[name], rtol=0, atol=1e-6)
    start_stage2(
        small,
        tmp_path / "policy",
        stage1=tmp_path / "run",
        run=replace(STAGE2, steps=1, batch_size=1, trackers=()),
        device="cpu",
    ).train(silent)
    frozen = Checkpoint.open(tmp_path / "policy").load_policy().state_dict()
    assert all(torch.equal(frozen[key], used[key]) for key in frozen if key.startswith("unet."))


def test_the_average_survives_a_resume(small: Path, tmp_path: Path) -> None:
    run = replace(QUIET, steps=4, batch_size=1, ema_decay=0.9, checkpoint_every=2, keep_checkpoints=9)
    whole = trained(small, tmp_path / "whole", run)
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "step-00000004")
    (tmp_path / "again" / "checkpoints" / "latest").write_text("step-00000002\n")
    resume(small, tmp_path / "again", stage="stage1", device="cpu").train(silent)
    again = Checkpoint.open(tmp_path / "again")
    assert again.step == 4
    assert again.files == whole.files


# --- adapters

LORA = replace(QUIET, lora_rank=2, checkpoint_every=2, steps=4, batch_size=1, keep_checkpoints=9)


@pytest.fixture(scope="module")
def adapted(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of stage 1 with adapters."""
    folder = tmp_path_factory.mktemp("lora") / "run"
    trained(small, folder, LORA)
    return folder


def test_adapters_leave_the_weights_beside_them_alone(adapted: Path) -> None:
    begun = initial_policy(MICRO, seed=0).state_dict()
    found = Checkpoint.open(adapted).load_training_policy().state_dict()
    base = {name.replace(".base_layer.", "."): tensor for name, tensor in found.items() if not is_adapter(name)}
    assert base.keys() == begun.keys()
    assert all(torch.equal(base[name], begun[name]) for name in begun)
    assert any(tensor.any() for name, tensor in found.items() if ".lora_B." in name)


def test_merged_adapters_compute_the_same(adapted: Path, batch: Batch, text: CachedText) -> None:
    checkpoint = Checkpoint.open(adapted)
    beside = checkpoint.load_training_policy()
    with torch.no_grad():
        for name, parameter in beside.named_parameters():  # larger than four steps make them
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) / 50)

        def losses(policy: VideoPolicy) -> Tensor:
            found = StageLosses(policy, text=text, run=QUIET)(batch)
            assert isinstance(found, Tensor)
            return found

        unmerged, plain = losses(beside), losses(initial_policy(MICRO, seed=0))
        merge_adapters(beside.unet)
        merged = losses(beside)
    torch.testing.assert_close(merged, unmerged, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(merged, plain, rtol=1e-3)
    assert beside.state_dict().keys() == initial_policy(MICRO, seed=0).state_dict().keys()


def test_a_run_of_adapters_resumes_exactly(adapted: Path, small: Path, tmp_path: Path) -> None:
    shutil.copytree(adapted, tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "step-00000004")
    (tmp_path / "again" / "checkpoints" / "latest").write_text("step-00000002\n")
    resume(small, tmp_path / "again", stage="stage1", device="cpu").train(silent)
    assert Checkpoint.open(tmp_path / "again").files == Checkpoint.open(adapted).files


def test_adapters_go_into_stage_2_and_into_public_checkpoints(adapted: Path, small: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from typer.testing import CliRunner

    from vptrain.cli.app import app

    merged = Checkpoint.open(adapted).load_policy()
    run = replace(STAGE2, steps=1, batch_size=1, trackers=())
    start_stage2(small, tmp_path / "policy", stage1=adapted, run=run, device="cpu").train(silent)
    frozen = Checkpoint.open(tmp_path / "policy").load_policy().unet.state_dict()
    assert all(torch.equal(frozen[name], tensor) for name, tensor in merged.unet.state_dict().items())
    out = tmp_path / "public.safetensors"
    converted = CliRunner().invoke(app, ["convert", str(adapted), "--out", str(out)], catch_exceptions=False)
    assert converted.exit_code == 0, converted.output
    ours = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    with safe_open(out, "pt") as file:
        theirs = file.get_tensor(reference_names(merged)[ours])
    assert torch.equal(theirs, merged.state_dict()[ours])
    assert not torch.equal(theirs, initial_policy(MICRO, seed=0).state_dict()[ours])
    begun = initial_policy(replace(MICRO, pretrained=str(out)), seed=1).state_dict()
    assert all(torch.equal(begun[f"unet.{name}"], tensor) for name, tensor in merged.unet.state_dict().items())


# --- optimizers, rates

NAME = "unet.conv_out.weight"


def one_update(run: RunConfig, batch: Batch, text: CachedText) -> tuple[Learner, dict[str, Tensor], dict[str, Tensor]]:
    """A learner after a step, the weights before it, and its gradients."""
    learner = learner_of(run, text)
    policy = learner.losses.policy
    before = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    items = learner.features([batch]) if run.stage == "stage2" else [batch]
    learner.update(items, turn=0, step=0, stopping=False)
    gradients = {name: parameter.grad for name, parameter in policy.named_parameters() if parameter.grad is not None}
    return learner, before, gradients


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_first_update_is_the_formula(batch: Batch, text: CachedText, optimizer: str) -> None:
    run = replace(QUIET, optimizer=optimizer, weight_decay=0.1, epsilon=1e-8, learning_rate=1e-3)
    learner, before, gradients = one_update(run, batch, text)
    weight, gradient = before[NAME], gradients[NAME]
    if optimizer == "adam":
        gradient = gradient + 0.1 * weight
    else:
        weight = weight - 1e-3 * 0.1 * weight
    expected = weight - 1e-3 * gradient / (gradient.abs() + 1e-8)  # after bias correction both moments are the first
    found = dict(learner.losses.policy.named_parameters())[NAME].detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="NO BITSANDBYTES: 8-bit AdamW is NOT TESTED here"
)
def test_eight_bit_adamw_trains_and_resumes(small: Path, tmp_path: Path) -> None:
    run = replace(QUIET, optimizer="adamw8bit", steps=4, batch_size=1, checkpoint_every=2, keep_checkpoints=9)
    eight = trained(small, tmp_path / "eight", run)
    full = trained(small, tmp_path / "full", replace(run, optimizer="adamw"))
    begun, found, expected = (
        policy.unet.state_dict() for policy in (initial_policy(MICRO, seed=0), eight.load_policy(), full.load_policy())
    )
    moved = torch.cat([(expected[name] - begun[name]).flatten() for name in begun])
    apart = torch.cat([(found[name] - expected[name]).flatten() for name in begun])
    assert apart.norm() < 0.5 * moved.norm()
    size = (eight.path / "optimizer.pt").stat().st_size
    assert size < 0.6 * (full.path / "optimizer.pt").stat().st_size
    shutil.copytree(tmp_path / "eight", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "step-00000004")
    (tmp_path / "again" / "checkpoints" / "latest").write_text("step-00000002\n")
    resume(small, tmp_path / "again", stage="stage1", device="cpu").train(silent)
    again = Checkpoint.open(tmp_path / "again").load_policy().state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in eight.load_policy().state_dict().items())


def test_eight_bit_adamw_says_what_to_install(text: CachedText, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(VptrainError, match=r"pip install 'vpdata\[eightbit\]'"):
        learner_of(replace(QUIET, optimizer="adamw8bit"), text)


@pytest.mark.parametrize("stage", ["stage1", "stage2", "joint"])
def test_every_part_moves_by_its_own_rate(batch: Batch, text: CachedText, stage: str) -> None:
    run = replace(QUIET, stage=stage, learning_rate=1e-4, head_rate_factor=3.0, epsilon=1e-30)
    learner, before, gradients = one_update(run, batch, text)
    rates = {"stage1": {"unet": 1e-4}, "stage2": {"encoder": 1e-4, "head": 1e-4}}
    rates["joint"] = {"unet": 1e-4, "encoder": 3e-4, "head": 3e-4}
    moved: dict[str, float] = {}
    for name, parameter in learner.losses.policy.named_parameters():
        part = name.split(".")[0]
        step = (parameter.detach() - before[name]).abs().max().item()
        moved[part] = max(moved.get(part, 0.0), step)
        if part not in rates[stage]:
            assert step == 0.0
            assert name not in gradients
    for part, rate in rates[stage].items():  # Adam's first step is as long as the rate
        assert moved[part] == pytest.approx(rate, rel=0.01)


def factors(run: RunConfig) -> Iterator[float]:
    return (rate_factor(run, step) for step in range(run.steps))


def test_schedules() -> None:
    run = replace(QUIET, steps=6, warmup_steps=2, final_rate_factor=0.2)
    assert list(factors(run)) == [0.5, 1, 1, 1, 1, 1]
    assert list(factors(replace(run, schedule="linear"))) == pytest.approx([0.5, 1, 1.0, 0.8, 0.6, 0.4])
    half = 0.2 + 0.8 * 0.5
    cosine = list(factors(replace(run, schedule="cosine")))
    assert (cosine[2], cosine[4]) == pytest.approx((1.0, half))
    assert all(earlier > later for earlier, later in pairwise(cosine[2:]))


def test_clipping_bounds_the_gradient(batch: Batch, text: CachedText) -> None:
    _, _, free = one_update(QUIET, batch, text)
    _, _, clipped = one_update(replace(QUIET, clip_norm=1e-3), batch, text)
    norm = nn.utils.get_total_norm(free.values())
    assert norm > 1e-3
    torch.testing.assert_close(nn.utils.get_total_norm(clipped.values()), torch.tensor(1e-3), rtol=1e-3, atol=0)
    torch.testing.assert_close(clipped[NAME], free[NAME] * (1e-3 / norm), rtol=1e-3, atol=1e-9)
