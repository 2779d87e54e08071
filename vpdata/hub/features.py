"""A data set in, the columns that `datasets` shall read its shards as out, in the form of a card's `dataset_info`.

Without them `datasets` guesses from the first clips, and fails where those have other cameras, or no actions.
"""

import json
from typing import Any

from vpdata.clips.encode import ACTIONS, PROVENANCE, STATE
from vpdata.shards.dataset import Dataset

_VIDEOS = (".mp4", ".mkv")


def features_of(dataset: Dataset) -> list[dict[str, Any]]:
    """One entry a member that any clip has; a clip without it gets None."""
    index = dataset.index
    members = dict.fromkeys(name for text in index.codes("member_names").values for name in json.loads(text))
    return [
        *({"name": name, **_type(name)} for name in sorted(members)),
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def _type(member: str) -> dict[str, Any]:
    if member in (ACTIONS, STATE):
        return {"list": {"list": "float64"}}
    if member == PROVENANCE:
        return {"dtype": "json"}
    return {"dtype": "video" if member.endswith(_VIDEOS) else "binary"}
