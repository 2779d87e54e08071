"""A checkpoint, what it was trained on, and the card that is there in; the new card of the model out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vpdata import spaces
from vpdata.hub.block import rewritten, table
from vpdata.pages.units import as_digits
from vptrain.checkpoint import Checkpoint
from vptrain.config import to_dict
from vptrain.hub.data import DataFacts, SourceFacts
from vptrain.hub.licence import SVD, Licence, base_model

TAGS = ("robotics", "video", "video-policy", "diffusion", "vptrain")
PAPER = "https://arxiv.org/abs/2508.00795"
_CITATION = f"""## Citation

The method is [Video Policy]({PAPER}):

```bibtex
@misc{{liang2025video,
  title = {{Video Generators are Robot Policies}},
  author = {{Junbang Liang and Pavel Tokmakov and Ruoshi Liu and Sruthi Sudhakar and Paarth Shah and Rares Ambrus
            and Carl Vondrick}},
  year = {{2025}},
  eprint = {{2508.00795}},
  archivePrefix = {{arXiv}},
}}
```"""


def write_card(
    checkpoint: Checkpoint,
    trainings: Sequence[DataFacts],
    *,
    repo_id: str,
    licence: Licence,
    metrics: Mapping[str, tuple[int, float]],
    num_parameters: int,
    old: str,
) -> str:
    """The text of `README.md`.

    Args:
        checkpoint: to describe.
        trainings: the runs that its weights went through, the last one its own.
        repo_id: `USER/NAME`.
        licence: under which it is published.
        metrics: step and value by name.
        num_parameters: of the model.
        old: the card that is there, empty where there is none.
    """
    return rewritten(
        old,
        title=repo_id.partition("/")[2],
        front_matter=_front_matter(checkpoint, trainings, licence),
        sections=[
            _summary(checkpoint, num_parameters),
            _usage(checkpoint, repo_id),
            _interface(checkpoint),
            _trained_on(trainings),
            *_metrics(metrics),
            _licences(checkpoint, licence),
            _configuration(checkpoint),
            _CITATION,
        ],
        unless_there={"library_name": "vptrain"},
    )


def acts(checkpoint: Checkpoint) -> bool:
    """Whether it predicts actions, and not video alone."""
    return checkpoint.run.stage != "stage1" and checkpoint.normalizer is not None


def _front_matter(checkpoint: Checkpoint, trainings: Sequence[DataFacts], licence: Licence) -> dict[str, Any]:
    of_hub = [facts.training.place for facts in trainings if facts.training.place.startswith("hf://")]
    base = [_repo_id(place) for place in of_hub[-1:]] or [base_model(checkpoint.model)]
    datasets = [source.repo_id for facts in trainings for source in facts.sources if source.repo_id]
    return {
        "license": licence.id,
        "license_name": licence.name or None,
        "license_link": licence.link or None,
        "base_model": [name for name in base if name] or None,
        "datasets": list(dict.fromkeys(datasets)) or None,
        "pipeline_tag": "robotics",
        "tags": list(TAGS),
    }


def _repo_id(url: str) -> str:
    return url.removeprefix("hf://").partition("@")[0]


def _summary(checkpoint: Checkpoint, num_parameters: int) -> str:
    what = "video and the actions that lead to it" if acts(checkpoint) else "video"
    return (
        f"A [Video Policy]({PAPER}): from one picture of each camera and an instruction it predicts {what}. Model size "
        f"`{checkpoint.model.name}`, {num_parameters:,} parameters, {checkpoint.run.stage}, step {checkpoint.step}."
    )


def _usage(checkpoint: Checkpoint, repo_id: str) -> str:
    camera = checkpoint.model.cameras[0]
    shown = f'prediction.video["{camera}"]  # uint8 ({checkpoint.model.num_frames}, height, width, 3)'
    if acts(checkpoint):
        space = spaces.load(checkpoint.model.action_space)
        shape = f"({checkpoint.model.horizon}, {len(space.dimensions)})"
        shown = f"prediction.actions  # float64 {shape}, in the units below\n{shown}"
    more = f"vptrain predict hf://{repo_id} --mixture mix.toml --out look"
    if not acts(checkpoint):
        more += f"\nvptrain stage2 --mixture mix.toml --from hf://{repo_id} --out runs/policy"
    return f"""## How to use it

```python
import vptrain

policy = vptrain.load_policy("hf://{repo_id}")
prediction = policy.predict({{"{camera}": picture}}, "open the drawer", with_video=True)
{shown}
```

`picture` is uint8 (height, width, 3), RGB and upright; give one for every camera that the robot has of those below. Or,
with a mixture whose held-out episodes are predicted:

```
{more}
```"""


def _interface(checkpoint: Checkpoint) -> str:
    model = checkpoint.model
    rows = [
        ("cameras", ", ".join(model.cameras)),
        ("predicted frames of each", f"{model.num_frames}, every {model.stride} steps of the robot"),
        ("pictures", f"{model.image_size} × {model.image_size} pixels, from any size: the middle is cut out"),
    ]
    if not acts(checkpoint):
        return f"## What goes in and comes out\n\n{table(('', ''), rows)}"
    assert checkpoint.normalizer is not None
    rows.append(("predicted actions", f"{model.horizon}, one for every step"))
    dimensions, seen = spaces.load(model.action_space).dimensions, checkpoint.normalizer.statistics
    columns = [
        (i, dimension.name, dimension.unit, as_digits(low), as_digits(high))
        for i, (dimension, low, high) in enumerate(zip(dimensions, seen.min, seen.max, strict=True))
    ]
    return (
        f"## What goes in and comes out\n\n{table(('', ''), rows)}\n\n### Actions: `{model.action_space}`\n\n"
        f"{table(('column', 'name', 'unit', 'least', 'most'), columns)}\n\n"
        "An action is never outside the range that was seen in training."
    )


def _trained_on(trainings: Sequence[DataFacts]) -> str:
    return "\n\n".join(["## What it was trained on", *(_training(facts) for facts in trainings)])


def _training(facts: DataFacts) -> str:
    training = facts.training
    where = f", [{training.place}](https://huggingface.co/{_repo_id(training.place)})"
    title = f"### {training.stage}, {training.step} steps{where if training.place.startswith('hf://') else ''}"
    if not facts.sources:
        return f"{title}\n\n{facts.unknown}"
    rows = [
        (source.name, _link(source), source.num_episodes, ", ".join(name or "not said" for name in source.licences))
        for source in facts.sources
    ]
    return (
        f"{title}\n\n{table(('source', 'data set', 'episodes', 'licence'), rows)}\n\n"
        f"Digest of the mixture: `{training.digest}`."
    )


def _link(source: SourceFacts) -> str:
    if not source.url:
        return f"not public; digest `{source.digest}`"
    return f"[{source.url}](https://huggingface.co/datasets/{source.repo_id})" if source.repo_id else source.url


def _metrics(metrics: Mapping[str, tuple[int, float]]) -> list[str]:
    if not metrics:
        return []
    rows = [(name, as_digits(value), step) for name, (step, value) in metrics.items()]
    return [f"## Metrics\n\n{table(('', 'value', 'at step'), rows)}"]


def _licences(checkpoint: Checkpoint, licence: Licence) -> str:
    name = f"[{licence.name}]({licence.link})" if licence.link else f"`{licence.id}`"
    text = f"## Licence\n\nPublished under {name}."
    base = base_model(checkpoint.model)
    if base:
        text += f" Training began with the weights of [{base}](https://huggingface.co/{base}), which are under `{SVD}`."
    elif checkpoint.model.pretrained == "random":
        text += " Training began with random weights."
    return text


def _configuration(checkpoint: Checkpoint) -> str:
    values = {"model": to_dict(checkpoint.model), "run": to_dict(checkpoint.run)}
    return (
        "## Configuration\n\n<details><summary>All of it</summary>\n\n"
        f"```json\n{json.dumps(values, indent=2)}\n```\n\n</details>"
    )
