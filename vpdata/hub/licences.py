"""What episodes say of their licence in, the one identifier of the Hub under which the whole may be published out."""

from collections import Counter
from dataclasses import dataclass

from vpdata.errors import HubError
from vpdata.hub.facts import Part, parts_of
from vpdata.shards.dataset import Dataset

ATTRIBUTE = "licence"
OTHER = "other"

IDENTIFIERS = frozenset({
    "afl-3.0", "agpl-3.0", "apache-2.0", "apple-ascl", "apple-amlr", "artistic-2.0", "bigcode-openrail-m",
    "bigscience-bloom-rail-1.0", "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear",
    "bsl-1.0", "c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
    "cdla-sharing-1.0", "creativeml-openrail-m", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1",
    "eupl-1.2", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "h-research", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lppl-1.3c",
    "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail", "openrail++", "osl-3.0", "other",
    "pddl", "postgresql", "unlicense", "wtfpl", "zlib",
})  # fmt: skip
"""Those that the Hub knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Licences:
    """`name` is the Hub's identifier of the whole; `parts` are what episodes said, "" for those that said nothing."""

    name: str
    parts: tuple[Part, ...]


def licence_of(dataset: Dataset, *, named: str | None) -> Licences:
    """The licence of a data set: the one that all its episodes carry in their attribute `licence`, or the named one.

    Raises:
        HubError: it follows from nothing: episodes carry none, or different ones, or one that the Hub does not know.
    """
    parts = parts_of(dataset, ATTRIBUTE)
    if named is not None:
        return Licences(name=identifier(named), parts=parts)
    said: Counter[str] = Counter()
    for part in parts:
        said[part.name] += part.num_episodes
    if "" in said:
        what = f"{said['']} of {said.total()} episodes carry no licence."
        raise _unnamed(dataset, what)
    names = {_identifier(text) for text in said}
    if len(names) > 1:
        counted = ", ".join(f"{text} ({count} episodes)" for text, count in said.most_common(5))
        raise _unnamed(dataset, f"its episodes carry different licences: {counted}.")
    (name,) = names
    if name is None:
        raise _unnamed(dataset, f"the Hub knows no licence {next(iter(said))!r}.")
    return Licences(name=name, parts=parts)


def identifier(named: str) -> str:
    """The Hub's identifier of a licence that somebody named.

    Raises:
        HubError: it has none.
    """
    name = _identifier(named)
    if name is None:
        what = f"the Hub knows no licence {named!r}."
        raise HubError(what, hint=f"Write one of {', '.join(sorted(IDENTIFIERS))}.")
    return name


def _identifier(text: str) -> str | None:
    """`CC BY 4.0` as `cc-by-4.0`; None where the Hub has no such identifier."""
    name = "-".join(text.lower().replace("_", " ").split())
    return name if name in IDENTIFIERS else None


def _unnamed(dataset: Dataset, what: str) -> HubError:
    hint = "Say with --license under which one you may publish all of it (`other` and the card for any other)."
    return HubError(what, path=dataset.place, hint=hint)
