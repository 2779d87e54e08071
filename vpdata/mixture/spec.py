"""A mixture file (TOML) enters and a `MixtureSpec` leaves, and the other way round.

The writer is small because the file is: it comments what every key means, writes one held-out episode a line, and
gives the same bytes for the same mixture, so that two mixtures can be compared with `diff`.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from vpdata.errors import MixtureError
from vpdata.shards.files import write_whole

FORMAT_VERSION = 1
EVERY_TASK = "*"
SOURCE_NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]+")

_T = TypeVar("_T")

_HEADER = """\
# A vpdata mixture: which windows a run sees, and in which order. Look at it with `vpdata mix --show FILE`.
# The sample at every position follows from this file and the data sets' digests; any change makes another order.
"""
_ACTION_FREE = "# Share of action-free windows; any span of L positions holds L times this, give or take one.\n"
_NATURAL = "# No `action_free`: labelled and action-free windows come in the ratio in which the data sets hold them.\n"
_EXHAUSTION = '# "repeat": a component that has shown every window starts again, in a new order.\n'
_SOURCE = """\
# path: relative to this file. digest: SHA-256 of the data set's manifest.json.
# weight: share among the sources of a pool; absent everywhere: by number of windows.
# withhold: tasks that are shown without their actions ("*": all). held_out: episodes that are never shown.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """One data set of a mixture.

    Attributes:
        name: how the mixture calls it; part of the order.
        path: of the data set's folder, posix, relative to the mixture file; no part of the order.
        digest: hex SHA-256 of its manifest.json.
        weight: relative to the other sources, within each pool; None: the number of windows.
        withhold: names of tasks whose actions are withheld, `"*"` for all.
        held_out: episodes in no component, as `file::episode_id`.
    """

    name: str
    path: str
    digest: str
    weight: Fraction | None = None
    withhold: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureSpec:
    """What a mixture file says.

    Attributes:
        seed: of every order and phase, >= 0.
        action_free: exact share of action-free windows in [0, 1]; None: as the data sets hold them.
        exhaustion: what a component does after its last window; `"repeat"` is the only policy.
        sources: at least one, with distinct names; all have a weight or none has.

    Raises:
        MixtureError: on construction, when a value is not as described.
    """

    seed: int
    action_free: Fraction | None
    exhaustion: str = "repeat"
    sources: tuple[SourceEntry, ...]

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
        weighted = [source.name for source in self.sources if source.weight is not None]
        _require(bool(names), "a mixture needs at least one source")
        _require(self.seed >= 0, f"seed {self.seed} is negative")
        _require(
            self.action_free is None or 0 <= self.action_free <= 1, f"action_free = {self.action_free} is not in [0, 1]"
        )
        _require(self.exhaustion == "repeat", f"exhaustion = {self.exhaustion!r} is unknown", 'Write "repeat".')
        for source in self.sources:
            _require(
                SOURCE_NAME_PATTERN.fullmatch(source.name) is not None,
                f"source name {source.name!r} has characters outside A-Z a-z 0-9 _ . -",
            )
            _require(names.count(source.name) == 1, f"two sources are called {source.name!r}", "Names must differ.")
            _require(source.weight is None or source.weight > 0, f"source {source.name}: weight {source.weight} <= 0")
            _require(
                len(weighted) in (0, len(names)),
                f"{', '.join(weighted)} have a weight, {', '.join(n for n in names if n not in weighted)} have none",
                "Give every source a weight, or none (then the number of windows counts).",
            )

    @staticmethod
    def read(path: Path) -> "MixtureSpec":
        """Reads a mixture file strictly.

        Raises:
            MixtureError: the file is missing, no TOML, or has unknown, missing or wrong keys.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        except FileNotFoundError:
            raise MixtureError("no such mixture file.", path=path, hint="Make one with `vpdata mix`.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise MixtureError(f"not a TOML file: {error}.", path=path) from None
        try:
            return _spec(table)
        except MixtureError as error:
            raise MixtureError(error.what, path=path, hint=error.hint) from None

    def to_toml(self) -> str:
        """The mixture file's text."""
        share = _NATURAL if self.action_free is None else f"{_ACTION_FREE}action_free = {_number(self.action_free)}\n"
        parts = [
            _HEADER,
            f"version = {FORMAT_VERSION}\nseed = {self.seed}",
            share.rstrip("\n"),
            f"{_EXHAUSTION}exhaustion = {_string(self.exhaustion)}\n",
            _SOURCE + "\n".join(_source_text(source) for source in self.sources),
        ]
        return "\n".join(parts)

    def write(self, path: Path, *, replace: bool = False) -> None:
        """Writes the mixture file atomically.

        Raises:
            MixtureError: another mixture is there, and `replace` is False.
        """
        data = self.to_toml().encode()
        if path.exists() and path.read_bytes() != data and not replace:
            raise MixtureError("a different mixture is already there.", path=path, hint="Replace it with --force.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)


def fraction(text: str) -> Fraction:
    """An exact number from `0.7`, `2` or `1/3`. Raises MixtureError for anything else."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise MixtureError(f"{text!r} is not a number.", hint="Write it like 0.7 or 1/3.") from None


def _require(condition: bool, message: str, hint: str | None = None) -> None:
    if not condition:
        raise MixtureError(f"{message}.", hint=hint)


def _spec(table: Mapping[str, Any]) -> MixtureSpec:
    required = {"version", "seed", "exhaustion", "sources"}
    _check_keys(table, required=required, optional={"action_free"}, where="the file")
    version = _typed(table, "version", int)
    _require(
        version == FORMAT_VERSION,
        f"mixture format version {version}; this vpdata reads version {FORMAT_VERSION}",
        "Make the mixture again with `vpdata mix`.",
    )
    return MixtureSpec(
        seed=_typed(table, "seed", int),
        action_free=_fraction(table, "action_free"),
        exhaustion=_typed(table, "exhaustion", str),
        sources=tuple(_source(entry) for entry in _typed(table, "sources", list)),
    )


def _source(table: object) -> SourceEntry:
    if not isinstance(table, dict):
        raise MixtureError("sources is not a list of tables.", hint="Write each as [[sources]].")
    where = f"source {table.get('name', '?')}"
    _check_keys(table, required={"name", "path", "digest"}, optional={"weight", "withhold", "held_out"}, where=where)
    return SourceEntry(
        name=_typed(table, "name", str),
        path=_typed(table, "path", str),
        digest=_typed(table, "digest", str),
        weight=_fraction(table, "weight"),
        withhold=_strings(table, "withhold"),
        held_out=_strings(table, "held_out"),
    )


def _check_keys(table: Mapping[str, Any], *, required: set[str], optional: set[str], where: str) -> None:
    for key in table:
        known = ", ".join(sorted(required | optional))
        _require(key in required | optional, f"{where} has an unknown key {key!r}", f"Known keys: {known}.")
    for key in sorted(required):
        _require(key in table, f"{where} lacks the key {key!r}")


def _typed(table: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    value = table[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise MixtureError(f"{key} = {value!r} is not of type {kind.__name__}.")
    return value


def _strings(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = _typed(table, key, list) if key in table else []
    for value in values:
        _require(isinstance(value, str), f"{key} holds {value!r}, which is no text")
    return tuple(values)


def _fraction(table: Mapping[str, Any], key: str) -> Fraction | None:
    value = table.get(key)
    if value is None:
        return None
    _require(isinstance(value, int | Decimal | str) and not isinstance(value, bool), f"{key} = {value!r} is no number")
    return fraction(str(value))


def _source_text(source: SourceEntry) -> str:
    lines = ["[[sources]]", f"name = {_string(source.name)}", f"path = {_string(source.path)}"]
    lines.append(f"digest = {_string(source.digest)}")
    if source.weight is not None:
        lines.append(f"weight = {_number(source.weight)}")
    for key, values in (("withhold", source.withhold), ("held_out", source.held_out)):
        if values:
            lines += [f"{key} = [", *(f"    {_string(value)}," for value in values), "]"]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes, and U+007F, which only TOML forbids."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _number(value: Fraction) -> str:
    """The shortest exact TOML value: `2`, `0.7`, or text like `"1/3"` where no decimal number is exact."""
    if value.denominator == 1:
        return str(value.numerator)
    scale = next((digits for digits in range(1, 19) if 10**digits % value.denominator == 0), None)
    if scale is None:
        return _string(str(value))
    return f"{Decimal(value.numerator * (10**scale // value.denominator)).scaleb(-scale):f}"
