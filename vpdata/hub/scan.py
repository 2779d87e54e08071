"""A data set or texts in, what should perhaps not leave this machine out: paths, names, addresses, places, secrets.

Of a data set it reads the manifest, every distinct text of the index, and the boxes of every mp4, and no picture.
"""

import getpass
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vpdata.errors import HubError
from vpdata.hub.boxes import has_location
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import MANIFEST_NAME

KINDS = ("email", "location", "path", "secret", "user")
MAX_FOUND = 20
"""Findings of a kind that are listed."""
SHOWN = 8
"""Findings that a message lists."""

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


class Text(NamedTuple):
    """A text or number, the file that it stands in, and the name that it goes by there."""

    where: str
    name: str
    text: str


def scan(dataset: Dataset) -> tuple[Finding, ...]:
    """Everything suspicious in a data set, at most `MAX_FOUND` of each kind.

    Raises:
        ShardError: the data set is not in a folder.
    """
    return _listed([*_in_texts(_texts(dataset)), *_in_videos(dataset)])


def scan_texts(texts: Iterable[Text]) -> tuple[Finding, ...]:
    """Everything suspicious in some texts, at most `MAX_FOUND` of each kind."""
    return _listed(_in_texts(texts))


def refuse(findings: Sequence[Finding], *, allow: Collection[str], path: str, remedy: str) -> None:
    """Stops at findings of a kind that is not allowed.

    Raises:
        HubError: there are some; it lists them, the remedy, and what allows them.
    """
    stopping = [finding for finding in findings if finding.kind not in allow]
    if not stopping:
        return
    shown = "; ".join(f"{one.kind}: {one.text!r} ({one.where})" for one in stopping[:SHOWN])
    more = f"; {len(stopping) - SHOWN} more" if len(stopping) > SHOWN else ""
    kinds = " ".join(f"--allow {kind}" for kind in dict.fromkeys(finding.kind for finding in stopping))
    what = f"some things in it should perhaps not be published: {shown}{more}."
    raise HubError(what, path=path, hint=f"{remedy}, or publish them: {kinds}.")


def leaves(where: str, name: str, value: Any) -> Iterator[Text]:
    """The texts and numbers of a JSON value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(where, f"{name}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(where, name, inner)
    elif value is not None:
        yield Text(where, name, str(value))


def _listed(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """In the order of their kinds, each once."""
    by_kind: dict[str, dict[Finding, None]] = {kind: {} for kind in KINDS}
    for finding in found:
        by_kind[finding.kind][finding] = None
    return tuple(finding for findings in by_kind.values() for finding in list(findings)[:MAX_FOUND])


def _in_texts(texts: Iterable[Text]) -> Iterator[Finding]:
    user = _user_pattern()
    for where, name, text in texts:
        yield from _in_text(where, name, text, user)


def _user_pattern() -> re.Pattern[str] | None:
    """The name of who is logged in, as a word; None where it says nothing."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return None
    if len(name) < _SHORTEST_USER or name.lower() in _COMMON_USERS:
        return None
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.IGNORECASE)


def _texts(dataset: Dataset) -> Iterator[Text]:
    """Those of the manifest, and each of the index once."""
    manifest = json.loads(dataset.manifest.to_bytes())
    for name in ("source", "options", "skipped", "dropped", "operation"):
        yield from leaves(MANIFEST_NAME, name, manifest.get(name))
    for column in _TEXTS:
        for value in dataset.index.codes(column).values:
            yield Text(dataset.manifest.index.name, column, value)
    for column in _JSON_TEXTS:
        for value in dataset.index.codes(column).values:
            yield from leaves(dataset.manifest.index.name, column, json.loads(value))


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
