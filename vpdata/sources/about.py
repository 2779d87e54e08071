"""What somebody says about a video: its instructions, task and licence.

Enters: a TXT or JSON file beside the video (in its folder, in its tar), or the cells of a row. Leaves: an `About`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpdata.errors import SourceError

INSTRUCTIONS = ("instruction", "instructions", "caption", "captions", "text")
"""Names under which instructions are found: a text, or a list of texts."""

ATTRIBUTES: Mapping[str, str] = {"licence": "licence", "license": "licence", "source": "source", "url": "url"}
"""Names that are kept, and the attribute that each becomes."""

SUFFIXES = (".txt", ".json")
NAMES = (*INSTRUCTIONS, "task", *ATTRIBUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Instructions in their order, each once; the task's short name, empty where unknown; attributes."""

    instructions: tuple[str, ...] = ()
    task: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: "About") -> "About":
        """Both instructions; of task and attributes those of `other` where it has them."""
        return About(
            instructions=tuple(dict.fromkeys(self.instructions + other.instructions)),
            task=other.task or self.task,
            attributes={**self.attributes, **other.attributes},
        )


def from_values(values: Mapping[str, Any]) -> About:
    """From values by name; None and empty texts say nothing, names that are not in `NAMES` are not looked at.

    Raises:
        ValueError: a value of another kind, or licences that differ.
    """
    instructions: list[str] = []
    for name in INSTRUCTIONS:
        value = values.get(name)
        texts = value if isinstance(value, list) else [value]
        if not all(text is None or isinstance(text, str) for text in texts):
            raise ValueError(f"{name!r} is {json.dumps(value, default=str)}, not a text or a list of texts")
        instructions += [text.strip() for text in texts if text and text.strip()]
    texts_by_name: dict[str, str] = {}
    for name in ("task", *ATTRIBUTES):
        value = values.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise ValueError(f"{name!r} is {json.dumps(value, default=str)}, not a text")
        kept = ATTRIBUTES.get(name, name)
        if texts_by_name.setdefault(kept, value.strip()) != value.strip():
            raise ValueError(f"there are two of {kept!r}: {texts_by_name[kept]!r} and {value!r}")
    task = texts_by_name.pop("task", "")
    return About(instructions=tuple(dict.fromkeys(instructions)), task=task, attributes=texts_by_name)


def from_file(data: bytes, *, name: str, path: Path) -> About:
    """From the bytes of a file: each line of a TXT is an instruction; a JSON is an object with `NAMES`.

    Args:
        data: its bytes.
        name: its name; `.txt` and `.json` are read.
        path: the file that it is or lies in.

    Raises:
        SourceError: it is not UTF-8, no JSON object, or has a value of the wrong kind.
    """
    where = None if path.name == name else name
    try:
        if name.lower().endswith(".txt"):
            return from_values({"instructions": data.decode("utf-8-sig").splitlines()})
        values = json.loads(data)
        if not isinstance(values, dict):
            raise ValueError("it is no object {…}")
        return from_values(values)
    except ValueError as error:
        what = f"this says nothing that can be read about a video ({error})."
        raise SourceError(what, path=path, episode=where, hint="Correct or remove the file.") from error


def beside(video: Path) -> About:
    """What `STEM.txt` and `STEM.json` in the folder of a video say. Raises SourceError as `from_file` does."""
    said = About()
    for suffix in SUFFIXES:
        path = video.with_suffix(suffix)
        if path.is_file():
            said |= from_file(path.read_bytes(), name=path.name, path=path)
    return said
