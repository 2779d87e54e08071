"""Cameras by name: what they are called in a recording in, canonical names in their order out."""

import re
from collections.abc import Mapping
from pathlib import Path

from vpdata.errors import SourceError


def wrist_first(cameras: Mapping[str, str]) -> list[tuple[str, str]]:
    """(canonical name, recorded name) pairs with the wrist cameras first, otherwise as given."""
    return sorted(cameras.items(), key=lambda pair: "wrist" not in pair[0])


def default_cameras(called: Mapping[str, str], *, path: Path) -> dict[str, str]:
    """Canonical name -> recorded name, for all cameras of a recording.

    Args:
        called: recorded name -> what the camera is called, which is written in [a-z0-9_].
        path: of the recording.

    Raises:
        SourceError: two are called the same.
    """
    names = {re.sub("[^a-z0-9_]+", "_", name.lower()): recorded for recorded, name in called.items()}
    if len(names) != len(called):
        what = f"cameras {', '.join(called)} do not have distinct names once written as [a-z0-9_]."
        raise SourceError(what, path=path, hint="Name them with --camera NAME=RECORDED_NAME.")
    return names
