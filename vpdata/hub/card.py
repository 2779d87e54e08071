"""A data set and the card that is there in, the new card out."""

from collections.abc import Sequence
from typing import Any

from vpdata import spaces
from vpdata.hub.block import rewritten, table
from vpdata.hub.facts import parts_of
from vpdata.hub.features import features_of
from vpdata.hub.licences import Licences
from vpdata.overview.contents import describe
from vpdata.overview.facts import DatasetFacts
from vpdata.pages.units import as_bytes, as_duration
from vpdata.shards.dataset import Dataset
from vpdata.spaces.space import Dimension

TAGS = ("robotics", "video", "webdataset", "vpdata")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))
_LARGEST = "10M<n<100M"
_MOST = 30


def write_card(dataset: Dataset, *, repo_id: str, licences: Licences, pictures: Sequence[str], old: str) -> str:
    """The text of `README.md`.

    Args:
        dataset: to describe.
        repo_id: `USER/NAME`.
        licences: under which it is published, and what its episodes say.
        pictures: paths in the repository.
        old: the card that is there, empty where there is none.
    """
    name = repo_id.partition("/")[2]
    return rewritten(
        old,
        title=name,
        front_matter=_front_matter(dataset, licences),
        sections=_sections(dataset, describe(dataset), repo_id, licences, pictures),
        unless_there={"pretty_name": name},
    )


def _front_matter(dataset: Dataset, licences: Licences) -> dict[str, Any]:
    num_clips = len(dataset.index)
    return {
        "license": licences.name,
        "task_categories": ["robotics"],
        "tags": list(TAGS),
        "size_categories": [next((name for bound, name in _SIZES if num_clips < bound), _LARGEST)],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "shard-*.tar"}]}],
        "dataset_info": {"features": features_of(dataset)},
    }


def _sections(
    dataset: Dataset, facts: DatasetFacts, repo_id: str, licences: Licences, pictures: Sequence[str]
) -> list[str]:
    labelled = f"{facts.num_labelled_clips} of them with actions"
    summary = (
        f"{facts.num_episodes} episodes in {facts.num_clips} video clips, {labelled}: "
        f"{as_duration(facts.seconds)} of recordings, {as_bytes(facts.num_bytes)} in {facts.num_shards} shards."
    )
    return [
        summary,
        "\n\n".join(f"![{path.rpartition('/')[2].partition('.')[0]}]({path})" for path in pictures),
        _cameras(facts),
        *(_space(name, spaces.load(name).dimensions) for name in dataset.manifest.statistics),
        _tasks(facts),
        _sources(dataset, licences),
        _usage(dataset, repo_id),
    ]


def _cameras(facts: DatasetFacts) -> str:
    rows = [(camera.name, f"{camera.width} × {camera.height}", camera.num_clips) for camera in facts.cameras]
    fps = ", ".join(tally.text for tally in facts.fps)
    codec = ", ".join(facts.codecs)
    return f"## Cameras\n\n{table(('camera', 'pixels', 'clips'), rows)}\n\n{fps} frames a second, stored as {codec}."


def _space(name: str, dimensions: Sequence[Dimension]) -> str:
    kind = spaces.load(name).kind
    rows = [(i, dimension.name, dimension.unit) for i, dimension in enumerate(dimensions)]
    return f"## {kind.capitalize()}s: `{name}`\n\n{table(('column', 'name', 'unit'), rows)}"


def _tasks(facts: DatasetFacts) -> str:
    rows = [(part.name or "(none)", part.num_episodes, part.num_clips) for part in facts.tasks[:_MOST]]
    said = [f"* {tally.text}" for tally in facts.language.instructions[:_MOST]]
    language = "\n\nThey are told, among others:\n\n" + "\n".join(said) if said else ""
    return f"## Tasks\n\n{table(('task', 'episodes', 'clips'), rows)}{_more(facts.tasks)}{language}"


def _sources(dataset: Dataset, licences: Licences) -> str:
    rows = [(part.source, part.name or "not said", part.num_episodes) for part in licences.parts]
    text = f"## Sources and licences\n\n{table(('source', 'licence', 'episodes'), rows)}"
    text += f"\n\nPublished under `{licences.name}`."
    for attribute, title in (("url", "Where from"), ("citation", "Please cite")):
        said = list(dict.fromkeys(part.name for part in parts_of(dataset, attribute) if part.name))
        if said:
            text += f"\n\n{title}:\n\n" + "\n".join(f"* {one}" for one in said[:_MOST]) + _more(said)
    return text


def _usage(dataset: Dataset, repo_id: str) -> str:
    return f"""## How to use it

Train on it, with nothing downloaded beforehand:

```
pip install 'vpdata[remote]'
vpdata mix hf://datasets/{repo_id} --out mix.toml
vptrain stage1 --mixture mix.toml --out runs/video
```

`vpdata pull hf://datasets/{repo_id} --out {repo_id.partition("/")[2]}` downloads it, or a part. Any tool that reads
[WebDataset](https://github.com/webdataset/webdataset) reads the shards; so does `datasets`:

```python
from datasets import load_dataset

clips = load_dataset("{repo_id}", split="train", streaming=True)
```

In every clip, `frames[t]` and `state[t]` are what the robot saw before it executed `actions[t]`. The SHA-256 of
`manifest.json` is `{dataset.digest}`; it names the SHA-256 of every other file."""


def _more(shown: Sequence[object]) -> str:
    return f"\n\n{len(shown) - _MOST} more." if len(shown) > _MOST else ""
