"""A mixture file (TOML) enters and a `MixtureSpec` leaves, and the other way round.

The writer is small because the file is: it comments what every key means, writes one held-out episode a line, and
gives the same bytes for the same mixture, so that two mixtures can be compared with `diff`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from vpdata.errors import MixtureError
from vpdata.mixture.curriculum import Curriculum, Step
from vpdata.mixture.exact import fraction, toml_number
from vpdata.mixture.files import read_table, write_new

FORMAT_VERSION = 1
EVERY_TASK = "*"
EXHAUSTION = ("repeat", "stop", "renormalise")
SOURCE_NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]+")

_T = TypeVar("_T")

_HEADER = """\
# A vpdata mixture: which windows a run sees, and in which order. Look at it with `vpdata mix --show FILE`.
# The sample at every position follows from this file and the data sets' digests; any change makes another order.
"""
_ACTION_FREE = "# Share of action-free windows; any span of L positions holds L times this, give or take one.\n"
_CURRICULUM = """\
# Share of action-free windows, by position in windows; any span holds the sum of this, give or take one. With `ramp`
# the share goes there in a straight line from the step before.
"""
_NATURAL = "# No `action_free`: labelled and action-free windows come in the ratio in which the data sets hold them.\n"
_EXHAUSTION = """\
# "repeat": a component that has shown every window starts again, in a new order. "stop": the stream ends before any
# window comes twice. "renormalise": such a component leaves, and the stream ends when all have.
"""
_TEMPERATURE = "# Without `weight`, sources share their pool by number of windows to the power of 1 / temperature.\n"
_BALANCE = "# Inside a source's part of a pool every task has the same share.\n"
_BLOCKS = "# A component's epoch goes through its shards so many at a time, in a new order.\n"
_SOURCE = """\
# path: relative to this file, or a URL. digest: SHA-256 of the data set's manifest.json.
# weight: share among the sources of a pool; absent everywhere: by number of windows. query: which clips there are.
# withhold: tasks that are shown without their actions ("*": all). held_out: episodes that are never shown.
"""
_WITHHOLD_SHARE = (
    "# This share of the episodes too, by the hash of what each holds and the seed: adding some moves none."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """One data set of a mixture.

    Attributes:
        name: how the mixture calls it; part of the order.
        path: of the data set's folder, posix, relative to the mixture file, or its URL; no part of the order.
        digest: hex SHA-256 of its manifest.json.
        weight: relative to the other sources, within each pool; None: by the number of windows.
        query: a condition on clips (see `query.py`), "" for all.
        withhold: names of tasks whose actions are withheld, `"*"` for all.
        withhold_share: share of all possible episodes whose actions are withheld too, in [0, 1]; see `selection.py`.
        held_out: episodes in no component, as `file::episode_id`.
    """

    name: str
    path: str
    digest: str
    weight: Fraction | None = None
    query: str = ""
    withhold: tuple[str, ...] = ()
    withhold_share: Fraction = Fraction(0)
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureSpec:
    """What a mixture file says.

    Attributes:
        seed: of every order and phase, >= 0.
        action_free: exact share of action-free windows in [0, 1], or a curriculum of it; None: as the data sets hold
            them.
        exhaustion: what a component does after its last window, one of `EXHAUSTION`.
        temperature: sources without weights share a pool by number of windows ** (1 / temperature), >= 1/10.
        balance_tasks: whether the tasks of a source share its part of a pool equally.
        block_shards: shards that a component's epoch goes through at a time, >= 1; None: all.
        sources: at least one, with distinct names; all have a weight or none has.

    Raises:
        MixtureError: on construction, when a value is not as described.
    """

    seed: int
    action_free: Fraction | Curriculum | None
    exhaustion: str = "repeat"
    temperature: Fraction = Fraction(1)
    balance_tasks: bool = False
    block_shards: int | None = None
    sources: tuple[SourceEntry, ...]

    def __post_init__(self) -> None:
        _require(self.seed >= 0, f"seed {self.seed} is negative")
        share = self.action_free
        _require(not isinstance(share, Fraction) or 0 <= share <= 1, f"action_free = {share} is not in [0, 1]")
        known = ", ".join(f'"{policy}"' for policy in EXHAUSTION)
        _require(
            self.exhaustion in EXHAUSTION, f"exhaustion = {self.exhaustion!r} is unknown", f"Write one of {known}."
        )
        _require(self.temperature >= Fraction(1, 10), f"temperature = {self.temperature} is below 0.1")
        _require(self.block_shards is None or self.block_shards >= 1, f"block_shards = {self.block_shards} is below 1")
        self._check_sources()

    def _check_sources(self) -> None:
        names = [source.name for source in self.sources]
        weighted = [source.name for source in self.sources if source.weight is not None]
        _require(bool(names), "a mixture needs at least one source")
        _require(
            not weighted or self.temperature == 1,
            f"{', '.join(weighted)} have a weight, and there is a temperature",
            "Give weights or a temperature, not both.",
        )
        for source in self.sources:
            _require(
                SOURCE_NAME_PATTERN.fullmatch(source.name) is not None,
                f"source name {source.name!r} has characters outside A-Z a-z 0-9 _ . -",
                "Give it another with `--name DIR=NAME`.",
            )
            _require(names.count(source.name) == 1, f"two sources are called {source.name!r}", "Names must differ.")
            _require(
                source.weight is None or source.weight > 0,
                f"source {source.name}: weight {source.weight} is not above 0",
            )
            share = source.withhold_share
            _require(0 <= share <= 1, f"source {source.name}: withhold_share = {share} is not in [0, 1]")
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
        table = read_table(path, what="mixture", made_by="vpdata mix")
        try:
            return _spec(table)
        except MixtureError as error:
            raise MixtureError(error.what, path=path, hint=error.hint) from None

    def to_toml(self) -> str:
        """The mixture file's text."""
        parts = [_HEADER, f"version = {FORMAT_VERSION}\nseed = {self.seed}", _share_text(self.action_free)]
        parts.append(f"{_EXHAUSTION}exhaustion = {_string(self.exhaustion)}")
        if self.temperature != 1:
            parts.append(f"{_TEMPERATURE}temperature = {toml_number(self.temperature)}")
        if self.balance_tasks:
            parts.append(f'{_BALANCE}balance = "task"')
        if self.block_shards is not None:
            parts.append(f"{_BLOCKS}block_shards = {self.block_shards}")
        sources = "\n".join(_source_text(source) for source in self.sources)
        return "\n".join(parts) + f"\n\n{_SOURCE}{sources}"

    def write(self, path: Path, *, replace: bool = False) -> None:
        """Writes the mixture file atomically.

        Raises:
            MixtureError: another mixture is there, and `replace` is False.
        """
        write_new(path, self.to_toml().encode(), what="mixture", replace=replace)


def _require(condition: bool, message: str, hint: str | None = None) -> None:
    if not condition:
        raise MixtureError(f"{message}.", hint=hint)


def _spec(table: Mapping[str, Any]) -> MixtureSpec:
    required = {"version", "seed", "exhaustion", "sources"}
    optional = {"action_free", "temperature", "balance", "block_shards"}
    _check_keys(table, required=required, optional=optional, where="the file")
    version = _typed(table, "version", int)
    _require(
        version == FORMAT_VERSION,
        f"mixture format version {version}; this vpdata reads version {FORMAT_VERSION}",
        "Make the mixture again with `vpdata mix`.",
    )
    _require(table.get("balance", "task") == "task", f"balance = {table.get('balance')!r} is unknown", 'Write "task".')
    temperature = _fraction(table, "temperature")
    return MixtureSpec(
        seed=_typed(table, "seed", int),
        action_free=_share(table),
        exhaustion=_typed(table, "exhaustion", str),
        temperature=Fraction(1) if temperature is None else temperature,
        balance_tasks="balance" in table,
        block_shards=_typed(table, "block_shards", int) if "block_shards" in table else None,
        sources=tuple(_source(entry) for entry in _typed(table, "sources", list)),
    )


def _source(table: object) -> SourceEntry:
    if not isinstance(table, dict):
        raise MixtureError("sources is not a list of tables.", hint="Write each as [[sources]].")
    where = f"source {table.get('name', '?')}"
    optional = {"weight", "query", "withhold", "withhold_share", "held_out"}
    _check_keys(table, required={"name", "path", "digest"}, optional=optional, where=where)
    return SourceEntry(
        name=_typed(table, "name", str),
        path=_typed(table, "path", str),
        digest=_typed(table, "digest", str),
        weight=_fraction(table, "weight"),
        query=_typed(table, "query", str) if "query" in table else "",
        withhold=_strings(table, "withhold"),
        withhold_share=_fraction(table, "withhold_share") or Fraction(0),
        held_out=_strings(table, "held_out"),
    )


def _share(table: Mapping[str, Any]) -> Fraction | Curriculum | None:
    if not isinstance(table.get("action_free"), list):
        return _fraction(table, "action_free")
    steps = []
    for step in table["action_free"]:
        _require(
            isinstance(step, dict), f"action_free holds {step!r}, which is no step", "Write {at = 0, share = 0.9}."
        )
        _check_keys(step, required={"at", "share"}, optional={"ramp"}, where="a step of action_free")
        ramp = step.get("ramp", False)
        _require(isinstance(ramp, bool), f"ramp = {ramp!r} is neither true nor false")
        share = _fraction(step, "share")
        assert share is not None
        steps.append(Step(at=_typed(step, "at", int), share=share, ramp=ramp))
    return Curriculum(steps=tuple(steps))


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


def _share_text(share: Fraction | Curriculum | None) -> str:
    if share is None:
        return _NATURAL.rstrip("\n")
    if isinstance(share, Fraction):
        return f"{_ACTION_FREE}action_free = {toml_number(share)}"
    steps = [
        f"    {{at = {step.at}, share = {toml_number(step.share)}{', ramp = true' if step.ramp else ''}}},"
        for step in share.steps
    ]
    return "\n".join([f"{_CURRICULUM}action_free = [", *steps, "]"])


def _source_text(source: SourceEntry) -> str:
    lines = ["[[sources]]", f"name = {_string(source.name)}", f"path = {_string(source.path)}"]
    lines.append(f"digest = {_string(source.digest)}")
    if source.weight is not None:
        lines.append(f"weight = {toml_number(source.weight)}")
    if source.query:
        lines.append(f"query = {_string(source.query)}")
    if source.withhold_share:
        lines += [_WITHHOLD_SHARE, f"withhold_share = {toml_number(source.withhold_share)}"]
    for key, values in (("withhold", source.withhold), ("held_out", source.held_out)):
        if values:
            lines += [f"{key} = [", *(f"    {_string(value)}," for value in values), "]"]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes, and U+007F, which only TOML forbids."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
