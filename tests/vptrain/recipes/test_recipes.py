import shlex
from dataclasses import replace

import pytest
import torch
import typer

from vpdata.cli.app import app as vpdata_app
from vptrain.cli.app import app as vptrain_app
from vptrain.config import ModelConfig, RunConfig, differences, flattened, from_dict, to_dict
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.recipes import published
from vptrain.recipes.models import SVD, TINY
from vptrain.recipes.recipe import Recipe
from vptrain.recipes.runs import run_config
from vptrain.training.footprint import example_batch

RECIPES = [published.load(name) for name in published.NAMES]
ROBOCASA_LABELLED = {
    *("PnPCounterToCab", "PnPCounterToSink", "PnPMicrowaveToCounter", "PnPStoveToCounter", "TurnOnMicrowave"),
    *("TurnOnSinkFaucet", "TurnOffStove", "CoffeePressButton", "CoffeeSetupMug", "CloseSingleDoor", "OpenSingleDoor"),
    "OpenDrawer",
}
"""Of the publication: the action head trains on these 12 tasks."""


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_is_whole(recipe: Recipe) -> None:
    assert published.load(recipe.name) == recipe
    assert from_dict(ModelConfig, to_dict(recipe.model)) == recipe.model
    for run in recipe.runs:
        assert from_dict(RunConfig, to_dict(run)) == run
        assert recipe.run(run.stage) is run


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_its_commands_parse(recipe: Recipe) -> None:
    apps = {"vpdata": typer.main.get_command(vpdata_app), "vptrain": typer.main.get_command(vptrain_app)}
    for line in recipe.commands:
        name, verb, *arguments = shlex.split(line)
        apps[name].commands[verb].make_context(verb, list(arguments))  # type: ignore[attr-defined]
    assert f"--recipe {recipe.name} " in " ".join(recipe.commands)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_its_model_can_be_built(recipe: Recipe) -> None:
    with torch.device("meta"):
        policy = VideoPolicy(recipe.model)
    assert sum(parameter.numel() for parameter in policy.parameters()) > 1e7
    batch = example_batch(recipe.model, layout=recipe.model.cameras[:3], windows=1, labelled=True)
    assert batch.mask_BT.shape == (1, 1 + len(recipe.model.cameras[:3]) * recipe.model.num_frames)


def test_the_published_settings() -> None:
    robocasa, libero = published.robocasa24(), published.libero10()
    assert robocasa.model == SVD
    assert robocasa.run("stage1").batch_size == 4 * 8
    assert robocasa.run("stage1").learning_rate == 1e-5
    assert robocasa.run("stage2").learning_rate == 5e-5
    assert (libero.model.cameras, libero.model.num_frames, libero.model.stride) == (("wrist", "front"), 12, 3)
    assert libero.model.horizon == 36
    assert 1 + 2 * libero.model.num_frames == 25
    assert published.tiny().model == TINY
    assert replace(published.tiny().run("stage2"), recipe=None) == run_config(TINY, "stage2")


def test_the_action_free_split() -> None:
    assert len(ROBOCASA_LABELLED) == len(set(published.ROBOCASA_WITHHELD)) == 12
    assert ROBOCASA_LABELLED.isdisjoint(published.ROBOCASA_WITHHELD)
    mix = published.robocasa_action_free().commands[1]
    assert mix.count("--withhold robocasa:") == 12


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(VptrainError, match=r"no recipe 'robocasa'.*Choose one of robocasa24"):
        published.load("robocasa")
    with pytest.raises(VptrainError, match=r"single_camera has no stage2.*It has stage1"):
        published.single_camera().run("stage2")


def test_differences_name_every_field_that_differs_and_no_other() -> None:
    one, other = to_dict(SVD), to_dict(replace(SVD, stride=3, unet=replace(SVD.unet, norm_groups=16)))
    assert differences(one, other) == [("stride", 4, 3), ("unet.norm_groups", 32, 16)]
    assert differences(one, one) == []
    assert differences({"a": 1}, {}) == [("a", 1, None)]
    flat = flattened(to_dict(TINY))
    assert flat["encoder.taps.3.planes"] == 32
    assert flat["cameras"] == ["wrist", "front", "left", "right"]
