"""What DROID says about an episode beside its arrays: cameras, success, language.

Enters: the folder of an episode. Leaves: its `Notes` from `metadata_*.json`, with the language of
`aggregated-annotations-*.json` where such a file lies in the folder or up to five above it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from vpdata.errors import SourceError
from vpdata.schema import Scalar

KEPT = ("uuid", "lab", "building", "scene_id", "success", "current_task")
"""What becomes an attribute. Who recorded it does not."""
ROLES = ("wrist", "ext1", "ext2", "left", "right")
LEVELS_ABOVE = 5  # annotations / lab / outcome / date / time
COPY_HINT = "Download this episode again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """An episode's `metadata_*.json`.

    Attributes:
        serials: role -> serial number of the camera. `ext1` and `ext2` are in its order; `left` and `right` are the
            same two as the robot sees them, by DROID's calibration.
        instructions: each once.
        attributes: those of `KEPT` that are there.
    """

    serials: Mapping[str, str]
    instructions: tuple[str, ...]
    attributes: Mapping[str, Scalar]


def read_notes(folder: Path) -> Notes:
    """Reads what is said about an episode. Raises SourceError where the file is missing or has no cameras."""
    found = sorted(folder.glob("metadata_*.json"))
    if len(found) != 1:
        what = f"there are {len(found)} files metadata_*.json, not one."
        raise SourceError(what, path=folder, hint=COPY_HINT)
    values = _read_json(found[0])
    serials = {role: values.get(f"{role}_cam_serial") for role in ("wrist", "ext1", "ext2")}
    serials |= {role: _stem(values.get(f"{role}_mp4_path")) for role in ("left", "right")}
    missing = [role for role in ROLES if not isinstance(serials[role], str) or not serials[role]]
    if missing:
        keys = ", ".join(f"{role}_mp4_path" if role in ("left", "right") else f"{role}_cam_serial" for role in missing)
        raise SourceError(f"these keys are missing or no text: {keys}.", path=found[0], hint=COPY_HINT)
    annotated = _annotations(folder).get(str(values.get("uuid")), {})
    if not isinstance(annotated, dict):
        what = f"the annotations of {values['uuid']} are {annotated!r}, no JSON object."
        raise SourceError(what, path=folder, hint=COPY_HINT)
    said = [*_instructions(values), *_instructions(annotated)]
    return Notes(
        serials={role: str(serial) for role, serial in serials.items()},
        instructions=tuple(dict.fromkeys(said)),
        attributes={key: values[key] for key in KEPT if isinstance(values.get(key), str | int | float | bool)},
    )


def _stem(path: object) -> str | None:
    return PurePosixPath(path).stem if isinstance(path, str) else None


def _instructions(values: Mapping[str, Any]) -> list[str]:
    keys = sorted(key for key in values if re.fullmatch(r"language_instruction\d*", key))
    return [values[key].strip() for key in keys if isinstance(values[key], str) and values[key].strip()]


def _annotations(folder: Path) -> Mapping[str, Any]:
    above = folder.resolve()
    for place in (above, *list(above.parents)[:LEVELS_ABOVE]):
        if found := sorted(place.glob("aggregated-annotations-*.json")):
            status = found[-1].stat()
            return _read_annotations(found[-1], status.st_mtime_ns, status.st_size)
    return {}


@lru_cache(maxsize=1)
def _read_annotations(path: Path, _mtime: int, _size: int) -> Mapping[str, Any]:
    """As `_read_json`, once for all episodes; the file has tens of thousands of them."""
    return _read_json(path)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SourceError(f"this is not JSON in UTF-8 ({error}).", path=path, hint=COPY_HINT) from error
    if not isinstance(values, dict):
        raise SourceError("this is not a JSON object.", path=path, hint=COPY_HINT)
    return values
