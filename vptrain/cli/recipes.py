"""`vptrain recipes`: list the published settings, print one whole, or show how two configurations differ."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vpdata.cli import output
from vptrain.config import differences, flattened, to_dict
from vptrain.recipes import published
from vptrain.recipes.recipe import Recipe
from vptrain.recipes.saved import read_saved

EPILOG = """
Examples:

`vptrain recipes`

`vptrain recipes robocasa24`

`vptrain recipes robocasa24 --diff libero10`

`vptrain recipes runs/before --diff runs/after --json`
"""


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Recipe, or a run or its run.json. Default: all recipes.")
    ] = None,
    diff: Annotated[
        str | None, typer.Option("--diff", metavar="OTHER", help="Recipe or run to compare with, field by field.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """List the settings that `--recipe` takes; print one as NAME = VALUE lines; compare two, or two runs.

    Of a recipe and a run only the stages that both have are compared.
    """
    if name is None:
        if diff is not None:
            raise typer.BadParameter("name what to compare with it", param_hint="NAME")
        _list(as_json=as_json)
    elif diff is None:
        _print(name, as_json=as_json)
    else:
        _compare(name, diff, as_json=as_json)


def _list(*, as_json: bool) -> None:
    found = [published.load(name) for name in published.NAMES]
    rows = [
        {
            "recipe": recipe.name,
            "stages": ", ".join(run.stage for run in recipe.runs),
            "setting": recipe.about,
            "published": recipe.published,
        }
        for recipe in found
    ]
    output.print_json(rows) if as_json else output.print_table(rows)


def _print(name: str, *, as_json: bool) -> None:
    values = _configuration(name)
    if name in published.NAMES:
        recipe = published.load(name)
        if as_json:
            values = {"about": recipe.about, "published": recipe.published, **values, "commands": recipe.commands}
        else:
            _print_comments(recipe)
    if as_json:
        output.print_json(values)
        return
    for field, value in flattened(values).items():
        typer.echo(f"{field} = {_toml(value)}")


def _print_comments(recipe: Recipe) -> None:
    for line in (recipe.about, recipe.published, *recipe.commands):
        if line:
            typer.echo(f"# {line}")


def _compare(name: str, other: str, *, as_json: bool) -> None:
    a, b = _configuration(name), _configuration(other)
    if len(a) == len(b) == 2 and a.keys() != b.keys():  # runs of two stages
        a, b = (dict(zip(("model", "run"), values.values(), strict=True)) for values in (a, b))
    both = a.keys() & b.keys()
    found = differences({key: a[key] for key in a if key in both}, {key: b[key] for key in b if key in both})
    if as_json:
        output.print_json([{"field": field, name: x, other: y} for field, x, y in found])
    elif found:
        output.print_table([{"field": field, name: _toml(x), other: _toml(y)} for field, x, y in found])
    if not found:
        output.say("the configurations are equal.")


def _configuration(name: str) -> dict[str, Any]:
    """`model`, then each stage by its name."""
    if name in published.NAMES:
        recipe = published.load(name)
        return {"model": to_dict(recipe.model), **{run.stage: to_dict(run) for run in recipe.runs}}
    if not Path(name).exists():
        published.load(name)
    saved = read_saved(Path(name))
    return {"model": to_dict(saved.model), saved.run.stage: to_dict(saved.run)}


def _toml(value: Any) -> str:
    """As a value in TOML, None as the text that `--set` takes for it."""
    return json.dumps("none" if value is None else value, ensure_ascii=False)
