"""What a recipe is: a whole configuration, of a model, of its stages, and of where its data come from."""

from dataclasses import dataclass

from vptrain.config import ModelConfig, RunConfig
from vptrain.errors import VptrainError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A model, how each of its stages trains, and the commands that make its data and train on them.

    Attributes:
        name: what `--recipe` takes; the runs carry it as their `recipe`.
        about: one line: which setting it is.
        published: what was reached with this setting, and where; "" where nothing was published.
        model: what is trained.
        runs: one a stage.
        commands: from recordings to the trained policy, in order; paths are examples.
    """

    name: str
    about: str
    published: str = ""
    model: ModelConfig
    runs: tuple[RunConfig, ...]
    commands: tuple[str, ...]

    def __post_init__(self) -> None:
        stages = [run.stage for run in self.runs]
        if len(set(stages)) < len(stages) or any(run.recipe != self.name for run in self.runs):
            raise ValueError(f"the runs of recipe {self.name} are not one a stage that carry its name")

    def run(self, stage: str) -> RunConfig:
        """How a stage trains.

        Raises:
            VptrainError: the recipe does not have it.
        """
        for run in self.runs:
            if run.stage == stage:
                return run
        raise VptrainError(
            f"recipe {self.name} has no {stage}.", hint=f"It has {', '.join(run.stage for run in self.runs)}."
        )
