"""`vptrain recipes`, and runs that begin with a recipe or with another run's configuration."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Vptrain
from micro import MICRO, STAGE1

from vptrain.checkpoint import Checkpoint
from vptrain.config import flattened, to_dict
from vptrain.recipes import published
from vptrain.recipes.models import TINY
from vptrain.recipes.saved import read_saved

SHORT = ("--steps", 1, "--batch-size", 1, "--num-workers", 0, "--device", "cpu", "--set", "evaluate_every=9")


def test_all_recipes_are_listed(vptrain: Vptrain) -> None:
    shown = vptrain("recipes")
    assert shown.exit_code == 0
    listed = json.loads(vptrain("recipes", "--json").stdout)
    assert [row["recipe"] for row in listed] == list(published.NAMES)
    assert all(name in shown.stdout for name in published.NAMES)


@pytest.mark.parametrize("name", published.NAMES)
def test_a_recipe_is_printed_whole_as_toml_and_as_json(vptrain: Vptrain, name: str) -> None:
    recipe = published.load(name)
    printed = vptrain("recipes", name).stdout
    expected = {"model": to_dict(recipe.model), **{run.stage: to_dict(run) for run in recipe.runs}}
    found = tomllib.loads(printed)
    lines = [line.split(" = ", 1) for line in printed.splitlines() if not line.startswith("#")]
    values = {field: json.loads(value) for field, value in lines}
    assert values == {field: "none" if value is None else value for field, value in flattened(expected).items()}
    assert found["model"]["cameras"] == list(recipe.model.cameras)
    as_json = json.loads(vptrain("recipes", name, "--json").stdout)
    assert {key: as_json[key] for key in expected} == expected
    assert as_json["commands"] == list(recipe.commands)


def test_two_recipes_differ_field_by_field(vptrain: Vptrain) -> None:
    rows = json.loads(vptrain("recipes", "robocasa24", "--diff", "libero10", "--json").stdout)
    assert {"field": "model.stride", "robocasa24": 4, "libero10": 3} in rows
    assert {row["field"] for row in rows} == {
        *("model.cameras", "model.num_frames", "model.stride", "model.horizon"),
        *(f"{stage}.recipe" for stage in ("stage1", "stage2", "joint")),
    }
    shown = vptrain("recipes", "robocasa24", "--diff", "single_camera").stdout
    assert "stage1.recipe" in shown
    assert "stage2" not in shown
    assert "the configurations are equal" in vptrain("recipes", "tiny", "--diff", "tiny").stderr


def test_a_run_and_a_recipe_differ(vptrain: Vptrain, stage1_run: Path) -> None:
    rows = json.loads(vptrain("recipes", str(stage1_run), "--diff", "tiny", "--json").stdout)
    assert {"field": "model.name", str(stage1_run): "micro", "tiny": "tiny"} in rows
    assert {"field": "stage1.steps", str(stage1_run): 3, "tiny": 420} in rows
    assert not [row for row in rows if row["field"].startswith("stage2")]
    assert "model.name" in vptrain("recipes", str(stage1_run / "run.json")).stdout


def test_runs_of_two_stages_differ(vptrain: Vptrain, stage1_run: Path, stage2_run: Path) -> None:
    rows = json.loads(vptrain("recipes", str(stage1_run), "--diff", str(stage2_run), "--json").stdout)
    assert {"field": "run.stage", str(stage1_run): "stage1", str(stage2_run): "stage2"} in rows


def test_what_is_no_configuration(vptrain: Vptrain, tmp_path: Path) -> None:
    assert "there is no recipe 'nothing'" in vptrain("recipes", "nothing").message
    assert "there is no run.json" in vptrain("recipes", str(tmp_path)).message
    (tmp_path / "run.json").write_text("{}")
    assert "this is no run.json" in vptrain("recipes", str(tmp_path)).message
    assert vptrain("recipes", "--diff", "tiny").exit_code == 2


def test_a_run_of_a_recipe_with_options_on_top(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    run = ("stage1", "--recipe", "tiny", "--mixture", mixture_file, "--out", tmp_path / "run", *SHORT)
    ended = vptrain(*run, "--set", "clip_norm=0.5", "--set-model", "num_frames=2")
    assert ended.exit_code == 0, ended.stderr
    made = Checkpoint.open(tmp_path / "run")
    assert made.model == replace(TINY, num_frames=2)
    recipe = published.tiny().run("stage1")
    expected = replace(recipe, steps=1, batch_size=1, num_workers=0, evaluate_every=9, clip_norm=0.5)
    assert made.run == expected
    assert made.run.recipe == "tiny"


def test_a_run_is_repeated_from_its_run_json(
    vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path
) -> None:
    for config in (stage1_run, stage1_run / "run.json"):
        out = tmp_path / config.name
        ended = vptrain(
            "stage1", "--config", config, "--mixture", mixture_file, "--out", out, "--device", "cpu", "--num-workers", 1
        )
        assert ended.exit_code == 0, ended.stderr
        again = Checkpoint.open(out)
        assert (again.model, again.run) == (MICRO, replace(STAGE1, num_workers=1))
        assert again.files["model.safetensors"] == Checkpoint.open(stage1_run).files["model.safetensors"]


def test_configurations_that_do_not_fit(vptrain: Vptrain, mixture_file: Path, stage1_run: Path, tmp_path: Path) -> None:
    place = ("--mixture", mixture_file, "--out", tmp_path / "run")
    ended = vptrain("stage2", "--config", stage1_run, "--from", stage1_run, *place)
    assert "this is the configuration of stage1, not of stage2" in ended.message
    assert "recipe single_camera has no joint" in vptrain("joint", "--recipe", "single_camera", *place).message
    both = vptrain("stage1", "--config", stage1_run, "--recipe", "tiny", *place)
    assert both.exit_code == 2
    assert "--config" in both.stderr
    resumed = vptrain("stage1", "--mixture", mixture_file, "--out", stage1_run, "--resume", "--recipe", "tiny")
    assert resumed.exit_code == 2
    assert "--recipe" in resumed.stderr


def test_run_json_says_all_that_a_run_was_made_with(vptrain: Vptrain, mixture_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    place = ("--mixture", mixture_file, "--out", out, "--device", "cpu")
    assert vptrain("stage1", *place, "--config", _micro(tmp_path), "--steps", 2).exit_code == 0
    values = json.loads((out / "run.json").read_text())
    assert read_saved(out).model == MICRO
    assert read_saved(out).run.recipe == "mine"
    (start,) = values["starts"]
    assert start["step"] == 0
    assert start["command"].startswith("vptrain stage1 --mixture ")
    assert "--steps 2" in start["command"]
    assert start["processes"] == 1
    assert {"torch", "diffusers", "vpdata"} <= start["packages"].keys()
    assert len(values["mixture_digest"]) == 64
    pointer = out / "checkpoints" / "latest"
    pointer.write_text("step-00000001\n")
    ended = vptrain("stage1", *place, "--resume")
    assert ended.exit_code == 0, ended.stderr
    starts = json.loads((out / "run.json").read_text())["starts"]
    assert starts[0] == start
    assert [one["step"] for one in starts] == [0, 1]
    assert "--resume" in starts[1]["command"]


def _micro(folder: Path) -> Path:
    run = replace(STAGE1, batch_size=1, checkpoint_every=1, recipe="mine")
    file = folder / "micro.json"
    file.write_text(json.dumps({"model": to_dict(MICRO), "run": to_dict(run)}))
    return file
