"""Public files to runs of ours and back, with the `tiny` model in the public layout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Vptrain
from safetensors.torch import load_file, save_file
from torch import Tensor

from vptrain.checkpoint import Checkpoint
from vptrain.models.policy import VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.reference import to_reference
from vptrain.recipes.models import TINY

TINY_OPTIONS = ("--model", "tiny")
RUN_OPTIONS = ("--steps", 1, "--batch-size", 1, "--num-workers", 0, "--device", "cpu")


@pytest.fixture(scope="module")
def stored() -> VideoPolicy:
    return initial_policy(TINY, seed=7)


@pytest.fixture(scope="module")
def public(stored: VideoPolicy) -> dict[str, Tensor]:
    """As public files are: with a CLIP encoder and leftovers of training."""
    others = {"conditioner.embedders.0.model.transformer.x": torch.ones(2), "model_ema.decay": torch.ones(1)}
    return to_reference(stored) | others


@pytest.fixture(scope="module")
def svd_xt(public: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the original file of Stable Video Diffusion: no vision encoder, no action head."""
    video = {n: tensor for n, tensor in public.items() if "vision_encoder" not in n and "pose_pred_net" not in n}
    file = tmp_path_factory.mktemp("public") / "svd_xt.safetensors"
    save_file(video, file)
    return file


def as_ckpt(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"state_dict": state, "global_step": 5, "pytorch-lightning_version": "1.9"}, folder / "public.ckpt")
    return folder / "public.ckpt"


def as_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "public.safetensors")
    return folder / "public.safetensors"


def different_parts(ours: VideoPolicy, theirs: VideoPolicy) -> set[str]:
    other = theirs.state_dict()
    return {name.split(".")[0] for name, tensor in ours.state_dict().items() if not torch.equal(tensor, other[name])}


@pytest.mark.parametrize(("stage", "write"), [("stage2", as_ckpt), ("joint", as_safetensors)])
def test_a_public_policy_becomes_a_run_that_predicts_and_comes_back(
    vptrain: Vptrain,
    stored: VideoPolicy,
    public: dict[str, Tensor],
    mixture_file: Path,
    tmp_path: Path,
    write: Callable[[dict[str, Tensor], Path], Path],
    stage: str,
) -> None:
    run, back = tmp_path / "run", tmp_path / "back.safetensors"
    ended = vptrain(
        "convert", write(public, tmp_path), *TINY_OPTIONS, "--stage", stage, "--mixture", mixture_file, "--out", run,
        "--json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert printed["converted"] == len(stored.state_dict())
    assert printed["missing"] == printed["unexpected"] == []
    assert printed["converted"] + sum(printed["left_out"].values()) == len(public)
    checkpoint = Checkpoint.open(run)
    assert checkpoint.run.stage == stage
    assert checkpoint.normalizer is not None
    assert different_parts(checkpoint.load_policy(), stored) == set()
    ended = vptrain(
        "predict", run, "--mixture", mixture_file, "--out", tmp_path / "look", "--videos", 1, "--windows", 1,
        "--steps", 1, "--device", "cpu", "--json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["actions"]["num_windows"] == 1
    ended = vptrain("convert", run, "--out", back, "--json")
    assert ended.exit_code == 0, ended.stderr
    written = load_file(back)
    assert json.loads(ended.stdout) == {"file": str(back), "tensors": len(written)}
    assert all(torch.equal(tensor, public[name]) for name, tensor in written.items())
    assert set(public) - set(written) == {"conditioner.embedders.0.model.transformer.x", "model_ema.decay"}


def test_a_public_video_model_becomes_a_stage1_run(
    vptrain: Vptrain, stored: VideoPolicy, svd_xt: Path, mixture_file: Path, tmp_path: Path
) -> None:
    run, policy = tmp_path / "run", tmp_path / "policy"
    ended = vptrain("convert", svd_xt, *TINY_OPTIONS, "--stage", "stage1", "--out", run)
    assert ended.exit_code == 0, ended.stderr
    assert "missing: encoder.towers.0" in ended.stdout.replace("\n", " ")
    assert different_parts(Checkpoint.open(run).load_policy(), stored) == {"encoder", "head"}
    ended = vptrain("stage2", "--mixture", mixture_file, "--from", run, "--out", policy, *RUN_OPTIONS)
    assert ended.exit_code == 0, ended.stderr
    assert different_parts(Checkpoint.open(policy).load_policy(), stored) == {"encoder", "head"}


def test_what_a_file_lacks_is_random_from_a_seed(vptrain: Vptrain, svd_xt: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        torch.manual_seed(len(name) + ord(name[0]))
        ended = vptrain("convert", svd_xt, *TINY_OPTIONS, "--stage", "stage1", "--out", tmp_path / name)
        assert ended.exit_code == 0, ended.stderr
    one, two = (Checkpoint.open(tmp_path / name) for name in ("one", "two"))
    assert one.files["model.safetensors"] == two.files["model.safetensors"]


def test_a_video_model_is_no_policy(vptrain: Vptrain, svd_xt: Path, tmp_path: Path) -> None:
    ended = vptrain("convert", svd_xt, *TINY_OPTIONS, "--stage", "stage2", "--out", tmp_path / "run")
    assert "tensors that stage2 needs are missing, such as encoder.towers.0" in ended.message
    assert "--stage" in ended.message
    assert not (tmp_path / "run").exists()


def test_without_statistics_only_the_video_is_predicted_and_it_says_so(
    vptrain: Vptrain, public: dict[str, Tensor], mixture_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = vptrain("convert", as_safetensors(public, tmp_path), *TINY_OPTIONS, "--out", run)
    assert ended.exit_code == 0, ended.stderr
    ended = vptrain(
        "predict", run, "--mixture", mixture_file, "--out", tmp_path / "look", "--videos", 1, "--steps", 1,
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["actions"] is None
    assert "without action statistics the actions cannot be predicted" in ended.stderr
    assert "--mixture" in ended.stderr


def test_stage1_starts_from_the_original_file(
    vptrain: Vptrain, stored: VideoPolicy, svd_xt: Path, mixture_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = vptrain("stage1", "--mixture", mixture_file, "--out", run, "--pretrained", svd_xt, "--lr", 0, *RUN_OPTIONS)
    assert ended.exit_code == 0, ended.stderr
    assert different_parts(Checkpoint.open(run).load_policy(), stored) == {"encoder", "head"}


def test_a_video_model_of_another_depth_is_refused(
    vptrain: Vptrain, svd_xt: Path, mixture_file: Path, tmp_path: Path
) -> None:
    deeper = tmp_path / "deeper.safetensors"
    save_file(load_file(svd_xt) | {"model.diffusion_model.input_blocks.99.0.x": torch.ones(1)}, deeper)
    ended = vptrain(
        "stage1", "--mixture", mixture_file, "--out", tmp_path / "run", "--pretrained", deeper, *RUN_OPTIONS
    )
    assert "1 pretrained tensors are of no use to this model" in ended.message
    assert "input_blocks.99.0.x" in ended.message


def test_our_runs_are_written_as_safetensors_alone(vptrain: Vptrain, stage1_run: Path, tmp_path: Path) -> None:
    ended = vptrain("convert", stage1_run, "--out", tmp_path / "back.ckpt")
    assert ended.exit_code == 2
    assert ".safetensors" in ended.stderr
