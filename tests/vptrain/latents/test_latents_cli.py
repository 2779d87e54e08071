"""`vptrain latents`, and `--latents` of the stages."""

import json
from pathlib import Path

import pytest
from commands import Vptrain

from vpdata.shards.dataset import Dataset
from vpdata.shards.validate import validate
from vptrain.checkpoint import Checkpoint
from vptrain.latents.recipe import LatentRecipe
from vptrain.recipes.models import SVD


def test_a_dry_run_says_what_they_would_take_and_makes_nothing(
    vptrain: Vptrain, small_mixture: Path, tmp_path: Path
) -> None:
    ended = vptrain(
        *("latents", "--mixture", small_mixture, "--out", tmp_path / "out", "--model", "svd", "--dry-run", "--json")
    )
    assert ended.exit_code == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["recipe"]["num_variants"] == 4
    assert result["recipe"]["color_jitter"] == [0.2, 0.2, 0.2, 0.05]
    assert not result["made"]
    assert not (tmp_path / "out").exists()
    for row in result["sources"]:
        dataset = Dataset.open(small_mixture.parent / row["source"])
        frames = sum(clip.num_frames * len(clip.episode.cameras) for clip in dataset.clips)
        assert row["bytes_a_frame_and_variant"] == 3 * 4 * 32 * 32 * 2
        assert row["bytes"] == frames * 4 * row["bytes_a_frame_and_variant"]


def test_what_a_frame_takes() -> None:
    recipe = LatentRecipe.of(SVD, autoencoder="", color_jitter=True, num_variants=4)
    assert recipe.bytes_a_frame == 24_576
    assert LatentRecipe.of(SVD, autoencoder="", color_jitter=True, num_variants=4, dtype="fp32").bytes_a_frame == 49_152


@pytest.fixture(scope="module")
def settings() -> list[str]:
    """Options that make of the tiny model one that is quick on a CPU."""
    return ["--set-model", "num_frames=2", "--set-model", "horizon=8", "--set-model", "cameras=wrist"]


def test_made_by_the_command_they_train_all_stages(
    vptrain: Vptrain, small_mixture: Path, tmp_path: Path, settings: list[str]
) -> None:
    out, mixture = tmp_path / "latents", ("--mixture", small_mixture, "--device", "cpu")
    ended = vptrain("latents", *mixture, "--out", out, *settings)
    assert ended.exit_code == 0, ended.stderr
    assert "of latents are in" in ended.stderr
    assert all(validate(out / name).problems == () for name in ("drawer", "soup"))
    short = ("--steps", 1, "--batch-size", 1, "--num-workers", 0, "--set", "trackers=none", "--latents", out)
    ended = vptrain("stage1", *mixture, "--out", tmp_path / "video", *short, *settings)
    assert ended.exit_code == 0, ended.stderr
    again = vptrain("latents", *mixture, "--out", out, "--from", tmp_path / "video", "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["recipe"]["cameras"] == ["wrist"]
    ended = vptrain("stage2", *mixture, "--from", tmp_path / "video", "--out", tmp_path / "policy", *short)
    assert ended.exit_code == 0, ended.stderr
    checkpoint = Checkpoint.open(tmp_path / "policy")
    assert checkpoint.run.latents == str(out)
    assert checkpoint.data.latents == Checkpoint.open(tmp_path / "video").data.latents is not None


def test_a_model_beside_a_run_is_refused(vptrain: Vptrain, small_mixture: Path, tmp_path: Path) -> None:
    ended = vptrain(
        *("latents", "--mixture", small_mixture, "--out", tmp_path / "out", "--from", tmp_path, "--model", "svd")
    )
    assert ended.exit_code == 2
    assert "--from" in ended.stderr


def test_latents_of_another_model_are_refused(
    vptrain: Vptrain, small_mixture: Path, quiet_latents: Path, tmp_path: Path
) -> None:
    ended = vptrain(
        *("stage1", "--mixture", small_mixture, "--out", tmp_path / "run", "--latents", quiet_latents),
        *("--device", "cpu"),
    )
    assert ended.exit_code == 1
    assert "these latents are of another kind: autoencoder" in ended.stderr
    assert not (tmp_path / "run").exists()
