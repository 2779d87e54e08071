"""Training on latents made in advance: the same as on pictures, and refused where it would not be."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import QUIET
from micro import MICRO, STAGE1, silent

from vpdata.loader.batch import WindowBatch
from vpdata.loader.loader import load
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vpdata.shards.npy import array_from
from vptrain.batch import Batch, Latents, make_batches, window_spec
from vptrain.checkpoint import Checkpoint
from vptrain.config import ModelConfig, RunConfig
from vptrain.errors import VptrainError
from vptrain.latents.cached import CachedLatents
from vptrain.latents.recipe import LatentRecipe, Wanted
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.training.start import resume, start_joint, start_stage1, start_stage2
from vptrain.training.step import StageLosses
from vptrain.training.trainer import LEDGER, Trainer

RUN = replace(STAGE1, steps=3, batch_size=2, color_jitter=False, evaluate_every=99, checkpoint_every=99)


@pytest.fixture(scope="module")
def stage1_of_quiet(small_mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "video"
    run = replace(RUN, steps=1, batch_size=1)
    start_stage1(small_mixture, folder, model=QUIET, run=run, device="cpu").train(silent)
    return folder


def started(run: RunConfig, mixture: Path, folder: Path, stage1: Path) -> Trainer:
    if run.stage == "stage1":
        return start_stage1(mixture, folder, model=QUIET, run=run, device="cpu")
    if run.stage == "stage2":
        return start_stage2(mixture, folder, stage1=stage1, run=run, device="cpu")
    return start_joint(mixture, folder, start=QUIET, run=run, device="cpu")


def losses_of(trainer: Trainer) -> list[float]:
    losses: list[float] = []
    trainer.train(lambda progress: losses.append(progress.loss))
    return losses


@pytest.mark.parametrize("stage", ["stage1", "stage2", "joint"])
def test_every_step_has_the_loss_that_it_has_with_pictures(
    small_mixture: Path, quiet_latents: Path, stage1_of_quiet: Path, tmp_path: Path, stage: str
) -> None:
    # the micro model makes rounding errors hundreds of times larger, and at a higher rate Adam would add to that
    run = replace(RUN, stage=stage, learning_rate=1e-7, micro_batch_size=1)
    with_pictures = losses_of(started(run, small_mixture, tmp_path / "pictures", stage1_of_quiet))
    latents = replace(run, latents=str(quiet_latents), num_workers=int(stage == "stage1"))
    with_latents = losses_of(started(latents, small_mixture, tmp_path / "latents", stage1_of_quiet))
    assert len(with_pictures) == 3
    assert with_latents == pytest.approx(with_pictures, rel=3e-4)
    assert with_latents != pytest.approx(with_pictures[::-1], rel=3e-2)


def test_a_step_draws_what_it_draws_with_pictures(small_mixture: Path, quiet_latents: Path, text: CachedText) -> None:
    mixture, spec = Mixture.open(small_mixture), window_spec(QUIET)
    cached = opened(quiet_latents, mixture, model=QUIET, jitter=False)
    losses = StageLosses(initial_policy(QUIET, seed=0), text=text, run=replace(RUN, drop_rate=0.5))
    of_latents = cached.window_spec(spec, seed=0)
    with (
        load(mixture, spec, batch_size=8, start=0, num_workers=0) as shown,
        load(mixture, of_latents, batch_size=8, start=0, num_workers=0, datasets=cached.datasets) as encoded,
        torch.no_grad(),
    ):
        pictures = make_batches(next(shown), image_size=64)
        latents = make_batches(next(encoded), image_size=64, latents=cached.dtype)
        for ours, theirs in zip(latents, pictures, strict=True):
            assert (ours.layout, ours.keys, ours.instructions) == (theirs.layout, theirs.keys, theirs.instructions)
            assert torch.equal(ours.mask_BT, theirs.mask_BT)
            drawn, expected = losses._encode(ours), losses._encode(theirs)
            torch.testing.assert_close(drawn.latents, expected.latents, atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(
                drawn.condition.latents_BTCHW, expected.condition.latents_BTCHW, atol=1e-6, rtol=1e-5
            )
            assert torch.equal(drawn.condition.text_BTE, expected.condition.text_BTE)
            draws = [losses._video_draws(batch, drawn, level=None) for batch in (ours, theirs)]
            assert all(torch.equal(one, other) for one, other in zip(*draws, strict=True))


def test_no_picture_is_decoded_and_no_autoencoder_runs(
    small_mixture: Path, quiet_latents: Path, stage1_of_quiet: Path, tmp_path: Path
) -> None:
    """Every video is damaged, and the autoencoder makes nothing but NaN, after the run was set up."""
    folder = tmp_path / "data"
    for name in ("drawer", "soup"):
        shutil.copytree(small_mixture.parent / name, folder / name)
    shutil.copy(small_mixture, folder / small_mixture.name)
    run = replace(RUN, latents=str(quiet_latents))
    expected = losses_of(started(run, small_mixture, tmp_path / "sound", stage1_of_quiet))
    trainer = started(run, folder / small_mixture.name, tmp_path / "damaged", stage1_of_quiet)
    for name in ("drawer", "soup"):
        dataset = Dataset.open(folder / name)
        for clip in dataset.clips:
            for camera in clip.episode.cameras:
                flip(dataset, clip.key, f"{camera.name}.mp4")
    with torch.no_grad():
        for parameter in trainer.policy.autoencoder.parameters():
            parameter.fill_(float("nan"))
    assert losses_of(trainer) == expected
    assert not (tmp_path / "damaged" / LEDGER).exists()


def flip(dataset: Dataset, key: str, member_name: str) -> None:
    clip = next(clip for clip in dataset.clips if clip.key == key)
    member = next(member for member in clip.members if member.name == member_name)
    shard = dataset.path / clip.shard
    data = bytearray(shard.read_bytes())
    data[member.offset + member.size // 2] ^= 1
    shard.write_bytes(data)


def opened(latents: Path, mixture: Mixture, *, model: ModelConfig = MICRO, jitter: bool = True) -> CachedLatents:
    recipe = recipe_in(latents / "drawer")
    return CachedLatents.open(
        latents, mixture, Wanted(model=model, autoencoder=recipe.autoencoder, color_jitter=jitter)
    )


def recipe_in(folder: Path) -> LatentRecipe:
    operation = Dataset.open(folder).manifest.operation
    assert operation is not None
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in operation.arguments.items()}
    return LatentRecipe(**fields)


def test_windows_show_the_variant_of_their_position(small_mixture: Path, jittered_latents: Path) -> None:
    mixture = Mixture.open(small_mixture)
    cached = opened(jittered_latents, mixture)
    spec = cached.window_spec(window_spec(MICRO), seed=5)
    assert spec.latents is not None
    variants = [spec.latents.variant(position) for position in range(24)]
    assert set(variants) == {0, 1}
    with load(mixture, spec, batch_size=24, start=0, num_workers=0, datasets=cached.datasets) as loader:
        (batch,) = (next(loader),)
        batches = make_batches(batch, image_size=64, latents=cached.dtype)
    assert {made.layout for made in batches} == {("wrist", "left", "right"), ("main",)}
    for made in batches:
        assert made.latents is not None
        for i, position in enumerate(made.keys):
            ref = mixture.locate(position)
            dataset = cached.datasets[ref.dataset]
            clip = dataset.clips[ref.clip]
            rows = [min(ref.start + 4 * step, clip.num_frames - 1) for step in range(3)]
            for v, camera in enumerate(made.layout):
                member = array_from(dataset.read(clip, f"{camera}.{variants[position]}.npy"))
                expected = torch.from_numpy(member[rows].astype(np.float32))
                assert torch.equal(made.latents.mean_BVFCHW[i, v], expected[:, 0])
                assert torch.equal(made.latents.log_variance_BVFCHW[i, v], expected[:, 1])
                assert torch.equal(made.latents.first_BVCHW[i, v], expected[0, 2])


def numbers(batches: Sequence[WindowBatch]) -> dict[int, bytes]:
    return {
        window.position: b"".join(frames.tobytes() for frames in window.frames.values())
        for batch in batches
        for window in batch.windows
        if window.position is not None
    }


@pytest.mark.parametrize(("world_size", "num_workers"), [(2, 0), (3, 0), (1, 2)])
def test_no_number_of_processes_changes_what_is_shown(
    small_mixture: Path, jittered_latents: Path, world_size: int, num_workers: int
) -> None:
    mixture = Mixture.open(small_mixture)
    cached = opened(jittered_latents, mixture)
    spec = cached.window_spec(window_spec(MICRO), seed=5)

    def shown(rank: int, world_size: int, num_workers: int) -> dict[int, bytes]:
        with load(
            mixture,
            spec,
            batch_size=6,
            start=0,
            stop=12,
            num_workers=num_workers,
            rank=rank,
            world_size=world_size,
            datasets=cached.datasets,
        ) as loader:
            return {key: value for batch in loader for key, value in numbers([batch]).items()}

    together: dict[int, bytes] = {}
    for rank in range(world_size):
        together |= shown(rank, world_size, num_workers)
    assert together == shown(0, 1, 0)
    assert len(together) == 12


def test_a_batch_of_latents_splits_like_one_of_pictures() -> None:
    def batch(size: int) -> Batch:
        numbers = torch.arange(size, dtype=torch.float32).reshape(size, 1, 1, 1, 1, 1, 1).expand(-1, 2, 3, 3, 4, 8, 8)
        return Batch(
            layout=("wrist", "left"),
            frames_BVFHWC=None,
            frame_mask_BF=torch.ones(size, 3, dtype=torch.bool),
            instructions=("",) * size,
            keys=tuple(range(size)),
            actions_BAD=None,
            action_mask_BA=torch.zeros(size, 8, dtype=torch.bool),
            latents=Latents.of(numbers),
        )

    parts = batch(5).split(2)
    assert [len(part) for part in parts] == [2, 2, 1]
    for part in parts:
        assert part.latents is not None
        for numbers in (part.latents.mean_BVFCHW, part.latents.log_variance_BVFCHW, part.latents.first_BVCHW):
            assert [int(one.mean()) for one in numbers] == list(part.keys)
    with pytest.raises(AssertionError, match="these windows show latents"):
        _ = parts[0].pictures_BVFHWC


def test_a_resumed_run_ends_as_if_it_had_not_stopped_wherever_its_latents_lie(
    small_mixture: Path, jittered_latents: Path, tmp_path: Path
) -> None:
    run = replace(RUN, steps=4, color_jitter=True, latents=str(jittered_latents), checkpoint_every=2)
    start_stage1(small_mixture, tmp_path / "whole", model=MICRO, run=run, device="cpu").train(silent)
    stopping = iter((False, True))
    trainer = start_stage1(small_mixture, tmp_path / "run", model=MICRO, run=run, device="cpu")
    assert not trainer.train(silent, asked_to_stop=lambda: next(stopping))
    shutil.copytree(jittered_latents, tmp_path / "moved")
    changes = [f"latents={tmp_path / 'moved'}", "num_workers=1"]
    resume(small_mixture, tmp_path / "run", stage="stage1", device="cpu", changes=changes).train(silent)
    ours, theirs = Checkpoint.open(tmp_path / "run"), Checkpoint.open(tmp_path / "whole")
    assert ours.step == theirs.step == 4
    assert ours.files["model.safetensors"] == theirs.files["model.safetensors"]
    assert ours.data == theirs.data
    assert ours.data.latents is not None


def test_a_resumed_run_keeps_its_latents(
    small_mixture: Path, quiet_latents: Path, half_latents: Path, tmp_path: Path
) -> None:
    run = replace(RUN, steps=1, batch_size=1, latents=str(quiet_latents))
    start_stage1(small_mixture, tmp_path / "run", model=QUIET, run=run, device="cpu").train(silent)

    def resumed(*changes: str, **options: Any) -> Trainer:
        return resume(small_mixture, tmp_path / "run", stage="stage1", device="cpu", changes=changes, **options)

    with pytest.raises(VptrainError, match=r"was trained on latents \w{12}…, and would go on with pictures"):
        resumed("latents=none")
    assert resumed("latents=none", allow_changed_data=True).latents is None
    with pytest.raises(VptrainError, match=r"was trained on latents \w{12}…, and would go on with latents \w{12}…"):
        resumed(f"latents={half_latents}")


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        (QUIET, {"seed": 1}, r"autoencoder \w{12} where the run has \w{12}\."),
        (MICRO, {}, r"condition noise 0.0 where the run has 0.02\."),
        (replace(QUIET, image_size=128), {}, r"image size 64 where the run has 128\."),
        (replace(QUIET, cameras=("left",)), {}, r"cameras wrist, left, right where the run has left\."),
        (QUIET, {"color_jitter": True}, r"colour jitter none where the run has 0.2, 0.2, 0.2, 0.05\."),
    ],
)
def test_latents_of_another_kind_are_refused(
    small_mixture: Path,
    quiet_latents: Path,
    tmp_path: Path,
    model: ModelConfig,
    change: dict[str, Any],
    message: str,
) -> None:
    run = replace(RUN, latents=str(quiet_latents), **change)
    with pytest.raises(VptrainError, match=f"these latents are of another kind: {message}.*vptrain latents"):
        start_stage1(small_mixture, tmp_path / "run", model=model, run=run, device="cpu")


def relabelled(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        shutil.rmtree(folder / "soup")
        shutil.copytree(folder / name, folder / "soup")

    return change


def removed(folder: Path) -> None:
    shutil.rmtree(folder / "soup")


def test_latents_of_other_data_are_refused(
    small_mixture: Path, quiet_latents: Path, half_latents: Path, tmp_path: Path
) -> None:
    mixture = Mixture.open(small_mixture)
    recipe = recipe_in(quiet_latents / "drawer")
    wanted = Wanted(model=QUIET, autoencoder=recipe.autoencoder, color_jitter=False)
    for number, (prepare, error) in enumerate(
        (
            (relabelled("drawer"), r"these latents are of other data: .* where the mixture has"),
            (removed, r"there is no data set here .* Make it with `vptrain latents`"),
        )
    ):
        folder = tmp_path / str(number)
        shutil.copytree(quiet_latents, folder)
        prepare(folder)
        with pytest.raises(Exception, match=error):
            CachedLatents.open(folder, mixture, wanted)
    with pytest.raises(VptrainError, match="this data set holds no latents"):
        CachedLatents.open(small_mixture.parent, mixture, wanted)
    two = tmp_path / "two"
    shutil.copytree(quiet_latents, two)
    shutil.rmtree(two / "soup")
    shutil.copytree(half_latents / "soup", two / "soup")
    with pytest.raises(VptrainError, match="were made in different ways"):
        CachedLatents.open(two, mixture, wanted)


def test_damaged_latents_are_replaced_and_named(small_mixture: Path, quiet_latents: Path, tmp_path: Path) -> None:
    shutil.copytree(quiet_latents, tmp_path / "latents")
    mixture = Mixture.open(small_mixture)
    ref = mixture.locate(1)
    name = mixture.spec.sources[ref.dataset].name
    dataset = Dataset.open(tmp_path / "latents" / name)
    clip = dataset.clips[ref.clip]
    flip(dataset, clip.key, next(member.name for member in clip.members if member.name.endswith(".0.npy")))
    run = replace(RUN, latents=str(tmp_path / "latents"))
    trainer = start_stage1(small_mixture, tmp_path / "run", model=QUIET, run=run, device="cpu")
    assert trainer.train(silent)
    lines = [json.loads(line) for line in (tmp_path / "run" / LEDGER).read_text().splitlines()]
    assert lines[0]["position"] == 1
    assert {line["key"] for line in lines} == {clip.key}
    assert trainer.num_corrupt == len(lines)
