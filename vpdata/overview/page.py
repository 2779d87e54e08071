"""An `Overview` in, one self-contained HTML page out: pictures, charts and styles are inside, nothing is fetched."""

import base64
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from markupsafe import Markup

from vpdata.errors import VpdataError
from vpdata.overview.charts import histogram
from vpdata.overview.facts import (
    CurationFacts,
    DatasetFacts,
    Distribution,
    DroppedFacts,
    DuplicateFacts,
    Looks,
    Overview,
    PairFacts,
)
from vpdata.pages import environment
from vpdata.pages.units import as_digits
from vpdata.shards.files import write_named

MAX_ROWS = 20
"""Rows of a long table; the rest is counted."""

MAX_PICTURES = 12
"""Dropped spans shown for a reason, the longest ones."""

UNITS = {"luma": "grey levels", "motion": "grey levels a frame", "sharpness": "variance of the Laplacian"}
NAMES = {"luma": "Brightness", "motion": "Motion", "sharpness": "Sharpness"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A histogram, what it is of, and its numbers in words."""

    title: str
    svg: Markup
    numbers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetView:
    """A data set with its charts; `looks` has one row of charts a camera; `examples` are data URIs in order."""

    facts: DatasetFacts
    lengths: tuple[Chart, ...]
    looks: tuple[tuple[str, tuple[Chart, ...]], ...]
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateView:
    """A search for duplicates, and the pairs that have pictures with two data URIs each."""

    facts: DuplicateFacts
    shown: tuple[tuple[PairFacts, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonView:
    """What was dropped for a reason: how many spans, and the longest with data URIs, empty without a picture."""

    reason: str
    num_spans: int
    shown: tuple[tuple[DroppedFacts, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationView:
    """A curation with its charts and pictures."""

    facts: CurationFacts
    charts: tuple[Chart, ...]
    reasons: tuple[ReasonView, ...]
    thresholds: tuple[tuple[str, float], ...]


def write_page(overview: Overview, path: Path) -> int:
    """Writes the page, atomically; missing parent folders are made. Returns its size in bytes.

    Raises:
        VpdataError: a picture of a dropped span is missing; PATH is a folder, the disk is full, or nothing may be
            written there.
    """
    data = render(overview).encode()
    write_named(path, data)
    return len(data)


def render(overview: Overview) -> str:
    """The page as HTML. Raises VpdataError where a picture of a dropped span is missing."""
    template = environment("vpdata.overview").get_template("own/template.html.j2")
    return template.render(
        overview=overview,
        datasets=[_dataset(facts) for facts in overview.datasets],
        curations=[_curation(facts) for facts in overview.curations],
        searches=[_duplicates(facts) for facts in overview.duplicates],
        max_rows=MAX_ROWS,
    )


def _dataset(facts: DatasetFacts) -> DatasetView:
    footage = facts.footage
    return DatasetView(
        facts=facts,
        lengths=(
            _chart("Episodes", "s", facts.episode_seconds),
            _chart("Clips", "s", facts.clip_seconds),
        ),
        looks=() if footage is None else tuple((one.camera, tuple(_looks(one.looks))) for one in footage.cameras),
        examples=() if footage is None else tuple(_jpeg(one.picture) for one in footage.examples),
    )


def _curation(facts: CurationFacts) -> CurationView:
    charts = []
    if facts.file_seconds is not None:
        charts.append(_chart("Videos", "s", facts.file_seconds))
    if facts.span_seconds is not None:
        charts.append(_chart("Kept spans", "s", facts.span_seconds))
    if facts.kept_looks is not None or facts.dropped_looks is not None:
        charts += _stacked(facts.kept_looks, facts.dropped_looks)
    by_reason = defaultdict[str, list[DroppedFacts]](list)
    for one in facts.dropped:
        by_reason[one.span.reason].append(one)
    return CurationView(
        facts=facts,
        charts=tuple(charts),
        reasons=tuple(_reason(Path(facts.place), one.reason, by_reason[one.reason]) for one in facts.reasons),
        thresholds=tuple(asdict(facts.thresholds).items()),
    )


def _duplicates(facts: DuplicateFacts) -> DuplicateView:
    shown = [one for one in facts.pairs if one.first_picture]
    return DuplicateView(
        facts=facts, shown=tuple((one, _jpeg(one.first_picture), _jpeg(one.second_picture)) for one in shown)
    )


def _reason(folder: Path, reason: str, dropped: Sequence[DroppedFacts]) -> ReasonView:
    longest = sorted(dropped, key=lambda one: one.span.start_seconds - one.span.stop_seconds)[:MAX_PICTURES]
    return ReasonView(
        reason=reason,
        num_spans=len(dropped),
        shown=tuple((one, _thumbnail(folder, one.span.thumbnail)) for one in longest),
    )


def _looks(looks: Looks) -> Iterator[Chart]:
    for name, title in NAMES.items():
        found = getattr(looks, name)
        if found is not None:
            yield _chart(title, UNITS[name], found)


def _stacked(kept: Looks | None, dropped: Looks | None) -> Iterator[Chart]:
    """Kept windows and on them the dropped ones; the numbers are of the kept ones."""
    for name, title in NAMES.items():
        parts = [
            (css, found)
            for css, looks in (("bar-kept", kept), ("bar-dropped", dropped))
            if looks is not None and (found := getattr(looks, name)) is not None
        ]
        if parts:
            whose = "kept" if parts[0][0] == "bar-kept" else "dropped"
            yield Chart(
                title=title,
                svg=histogram(parts, label=f"{title} of kept and dropped windows"),
                numbers=f"{whose}: {_numbers(parts[0][1], UNITS[name])}",
            )


def _chart(title: str, unit: str, found: Distribution) -> Chart:
    svg = histogram([("bar-kept", found)], label=f"{title}, distribution of {found.count}")
    return Chart(title=title, svg=svg, numbers=_numbers(found, unit))


def _numbers(found: Distribution, unit: str) -> str:
    low, p10, median, p90, high = map(as_digits, (found.min, found.p10, found.median, found.p90, found.max))
    if low == high:
        return f"all {median} {unit}"
    return f"median {median} {unit}, 80 % from {p10} to {p90}, all from {low} to {high}"


def _thumbnail(folder: Path, name: str) -> str:
    if not name:
        return ""
    try:
        return _jpeg((folder / name).read_bytes())
    except OSError as error:
        what = f"the picture of a dropped span cannot be read ({error.strerror})."
        raise VpdataError(what, path=folder / name, hint="Run the same `vpdata curate` again.") from error


def _jpeg(data: bytes) -> str:
    """A data URI, empty without data."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else ""
