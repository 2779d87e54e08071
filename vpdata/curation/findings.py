"""What a search for duplicates found, in memory and as the JSON that `vpdata duplicates --json` prints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from vpdata.curation.stored import Chosen
from vpdata.errors import VpdataError


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedSet:
    """A data set whose recordings were compared.

    Attributes:
        name: as the user knows it.
        place: its folder, as it was given, or its URL.
        digest: hex SHA-256 of its manifest.
    """

    name: str
    place: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecording:
    """An episode seen by one camera; `place` is the name of its data set."""

    place: str
    file: str
    episode: str
    camera: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPair:
    """Two recordings that show the same moments; see `vpdata.curation.copies.Copy`."""

    first: FoundRecording
    second: FoundRecording
    score: float
    offset_seconds: float
    is_mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A whole search.

    Attributes:
        sets: whose recordings are the first of every pair.
        against: whose recordings are the second; empty where pairs are within `sets`.
        recordings: of `sets`.
        compared: pairs whose frames were compared.
        pairs: all that were found.
    """

    sets: tuple[SearchedSet, ...]
    against: tuple[SearchedSet, ...]
    recordings: int
    compared: int
    pairs: tuple[FoundPair, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `read_findings` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises KeyError or TypeError for anything else."""
        searched = {name: tuple(SearchedSet(**one) for one in value[name]) for name in ("sets", "against")}
        pairs = tuple(
            FoundPair(**{**pair, **{side: FoundRecording(**pair[side]) for side in ("first", "second")}})
            for pair in value["pairs"]
        )
        return cls(**{**value, **searched, "pairs": pairs})


def searched(sets: Sequence[Chosen]) -> tuple[SearchedSet, ...]:
    """How data sets stand in the findings."""
    return tuple(SearchedSet(name=one.name, place=one.dataset.place, digest=one.dataset.digest) for one in sets)


def read_findings(path: Path) -> Findings:
    """The findings in a file.

    Raises:
        VpdataError: it cannot be read, or is not what `vpdata duplicates --json` prints.
    """
    hint = "Make it with `vpdata duplicates … --json > FILE`."
    try:
        return Findings.from_json(json.loads(path.read_bytes()))
    except OSError as error:
        raise VpdataError(f"cannot be read ({error.strerror}).", path=path, hint=hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise VpdataError("is not what a search for duplicates found.", path=path, hint=hint) from error
