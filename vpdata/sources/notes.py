"""`episode.json`: what a person says about a recording in a plain folder.

Enters: the path of such a file, which may be missing. Leaves: checked `Notes`, or a SourceError that names the key.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpdata.errors import SourceError
from vpdata.schema import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """The keys of `episode.json`; every one may be missing.

    Attributes:
        fps: ticks a second of the episode's clock.
        instructions: in the file a text or a list of texts.
        task: short machine name; None where it is not said, so that the parent folder's name is taken.
        action_space, state_space: names in `vpdata.spaces`; None: the columns declare a space of their own.
        actions_hold: each action holds until the next (a joint target, a velocity) and may so be read at another rate.
            Without it an action is a step, done once.
        cameras: canonical name -> stem of the video file.
        licence: of the recording; becomes an attribute.
        attributes: anything else worth keeping.
    """

    fps: float | None = None
    instructions: tuple[str, ...] = ()
    task: str | None = None
    action_space: str | None = None
    state_space: str | None = None
    actions_hold: bool = False
    cameras: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    attributes: Mapping[str, Scalar] = field(default_factory=dict)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_texts(value: object) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(_is_text(text) for text in value))


def _is_mapping_of(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(check(item) for item in value.values())


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | bool) or _is_number(value)


KEYS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "fps": (_is_positive, "a number above zero"),
    "instructions": (_is_texts, "a text or a list of texts"),
    "task": (_is_text, "a text"),
    "action_space": (_is_text, "the name of a space"),
    "state_space": (_is_text, "the name of a space"),
    "actions_hold": (lambda value: isinstance(value, bool), "true or false"),
    "cameras": (_is_mapping_of(_is_text), "an object of NAME: FILE STEM"),
    "licence": (_is_text, "a text"),
    "attributes": (_is_mapping_of(_is_scalar), "an object of texts, numbers, true and false"),
}


def read_notes(path: Path) -> Notes:
    """Reads `episode.json`; a missing file says nothing.

    Raises:
        SourceError: the file is no JSON object, has a key that is not known, or a value of the wrong kind.
    """
    if not path.is_file():
        return Notes()
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise SourceError(f"this is not JSON in UTF-8 ({error}).", path=path, hint="Correct the file.") from error
    if not isinstance(values, dict):
        raise SourceError("this is not a JSON object.", path=path, hint="Write it as {…}.")
    for key, value in values.items():
        if key not in KEYS:
            raise SourceError(
                f"there is a key {key!r}; keys are {', '.join(KEYS)}.", path=path, hint="Correct the file."
            )
        check, wanted = KEYS[key]
        if not check(value):
            raise SourceError(f"{key!r} is {json.dumps(value)}, not {wanted}.", path=path, hint="Correct the file.")
    said = values.get("instructions", [])
    return Notes(**{**values, "instructions": (said,) if isinstance(said, str) else tuple(said)})
