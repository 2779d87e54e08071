"""A data set in, what in it should perhaps not leave this machine out: paths, names, addresses, places, secrets.

It reads the manifest, every distinct text of the index, and the boxes of every mp4; it looks at no picture.
"""

import getpass
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vpdata.hub.boxes import has_location
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import MANIFEST_NAME

KINDS = ("email", "location", "path", "secret", "user")
MAX_FOUND = 20
"""Findings of a kind that are listed."""

_TEXTS = ("file", "episode_id", "task")
_JSON_TEXTS = ("instructions", "attributes", "cameras")
_EMAIL = re.compile(r"[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}\b")
_PATH = re.compile(r"(?<![\w./:~-])~?(?:/[\w.@+-]+){2,}|\b[A-Za-z]:\\[\w.\\ -]+|(?<!\w)~/[\w./-]+|\bfile://\S+")
_SECRET = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,})\b")
_COORDINATE = re.compile(r"(^|_)(gps|lat|latitude|lon|lng|longitude|geo|geolocation)(_|$)", re.IGNORECASE)
_COMMON_USERS = frozenset({"root", "user", "admin", "ubuntu", "nobody", "robot", "runner"})
_SHORTEST_USER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something of one of `KINDS`: what was found, a secret only in part, and where."""

    kind: str
    where: str
    text: str


def scan(dataset: Dataset) -> tuple[Finding, ...]:
    """Everything suspicious in a data set, at most `MAX_FOUND` of each kind.

    Raises:
        ShardError: the data set is not in a folder.
    """
    user = _user_pattern()
    found: dict[str, dict[Finding, None]] = {kind: {} for kind in KINDS}
    for where, name, text in _texts(dataset):
        for finding in _in_text(where, name, text, user):
            found[finding.kind][finding] = None
    for finding in _in_videos(dataset):
        found[finding.kind][finding] = None
    return tuple(finding for findings in found.values() for finding in list(findings)[:MAX_FOUND])


def _user_pattern() -> re.Pattern[str] | None:
    """The name of who is logged in, as a word; None where it says nothing."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return None
    if len(name) < _SHORTEST_USER or name.lower() in _COMMON_USERS:
        return None
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.IGNORECASE)


def _texts(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Where a text or number stands, the name it goes by, and the text: of the manifest, and each of the index once."""
    manifest = json.loads(dataset.manifest.to_bytes())
    for name in ("source", "options", "skipped", "dropped", "operation"):
        yield from _leaves(MANIFEST_NAME, name, manifest.get(name))
    for column in _TEXTS:
        for value in dataset.index.codes(column).values:
            yield dataset.manifest.index.name, column, value
    for column in _JSON_TEXTS:
        for value in dataset.index.codes(column).values:
            yield from _leaves(dataset.manifest.index.name, column, json.loads(value))


def _leaves(where: str, name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(where, f"{name}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(where, name, inner)
    elif value is not None:
        yield where, name, str(value)


def _in_text(where: str, name: str, text: str, user: re.Pattern[str] | None) -> Iterator[Finding]:
    place = f"{where}: {name}"
    for secret in _SECRET.finditer(text):
        yield Finding(kind="secret", where=place, text=f"{secret[0][:4]}…")
    text = _SECRET.sub("", text)
    for kind, pattern in (("email", _EMAIL), ("path", _PATH), ("user", user)):
        for match in pattern.finditer(text) if pattern is not None else ():
            yield Finding(kind=kind, where=place, text=match[0])
    if _COORDINATE.search(name.rpartition(".")[2]) and text:
        yield Finding(kind="location", where=place, text=text)


def _in_videos(dataset: Dataset) -> Iterator[Finding]:
    for shard in dataset.manifest.shards:
        with (dataset.path / shard.name).open("rb", buffering=0) as file:
            for i in dataset.index.rows_of(shard.name):
                _, names, offsets, sizes, _ = dataset.index.places(i)
                for name, offset, size in zip(names, offsets, sizes, strict=True):
                    if name.endswith(".mp4") and has_location(file.fileno(), offset, offset + size):
                        where = f"{shard.name}: {dataset.index.clip(i).key}.{name}"
                        yield Finding(kind="location", where=where, text="coordinates in the video's metadata")
