"""What a new run begins with, before its other options: a recipe, the configuration of another run, or a model size."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from vptrain.config import ModelConfig, RunConfig, StageName, overridden
from vptrain.errors import VptrainError
from vptrain.recipes import published
from vptrain.recipes.models import model_config
from vptrain.recipes.runs import run_config
from vptrain.recipes.saved import read_saved

RecipeName = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help="Setting to follow; `vptrain recipes` lists them.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="RUN", help="Run, or its run.json, whose configuration to repeat.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print sizes, memory, steps and data; write nothing.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="With --dry-run: processes, each with a device. Default: 1.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The configurations that a recipe or another run gives, None where neither was named."""

    stage: StageName
    model: ModelConfig | None
    run: RunConfig | None

    @classmethod
    def chosen(cls, stage: StageName, *, recipe: str | None, config: Path | None) -> "Base":
        """Reads what was named.

        Raises:
            VptrainError: there is no such recipe or run, or it is of another stage.
            typer.BadParameter: both were named.
        """
        if recipe is not None and config is not None:
            raise typer.BadParameter("name one of --recipe and --config", param_hint="--config")
        if recipe is not None:
            found = published.load(recipe)
            return cls(stage=stage, model=found.model, run=found.run(stage))
        if config is None:
            return cls(stage=stage, model=None, run=None)
        saved = read_saved(config)
        if saved.run.stage != stage:
            raise VptrainError(
                f"this is the configuration of {saved.run.stage}, not of {stage}.",
                path=config,
                hint=f"Repeat it with `vptrain {saved.run.stage} --config {config}`.",
            )
        return cls(stage=stage, model=saved.model, run=saved.run)

    def model_with(self, name: str | None, pretrained: str | None, settings: list[str] | None) -> ModelConfig:
        """The model of that size, or else of the recipe or run, or else `tiny`; with settings."""
        return chosen_model(name, pretrained, settings, default=self.model)

    def run_of(self, model: ModelConfig) -> RunConfig:
        """How the recipe or run trains the stage, or else how the model's size does by default."""
        return self.run or run_config(model, self.stage)


def chosen_model(
    name: str | None, pretrained: str | None, settings: list[str] | None, *, default: ModelConfig | None = None
) -> ModelConfig:
    """The model of that size (the default, or else tiny, where none is named), with the options."""
    model = model_config(name or "tiny") if name is not None or default is None else default
    model = overridden(model, settings or ())
    return model if pretrained is None else replace(model, pretrained=pretrained)
