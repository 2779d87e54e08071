"""`vpdata stats`: what data sets hold and what curation dropped, as tables, JSON, and one HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpdata.cli import output
from vpdata.pages.units import as_bytes, as_digits, as_duration
from vpdata.shards.dataset import Dataset

if TYPE_CHECKING:
    from vpdata.overview.facts import CurationFacts, DatasetFacts, Distribution, DuplicateFacts

EPILOG = """
Examples:

`vpdata stats clips`

`vpdata stats clips data/robocasa --curation curation --out stats.html`

`vpdata stats --curation curation --out dropped.html`

`vpdata stats clips --duplicates duplicates.json --duplicates leaks.json --out stats.html`

`vpdata stats clips --windows 500 --json > stats.json`
"""


def stats(
    places: Annotated[list[str] | None, typer.Argument(metavar="DIR...", help="Data sets: folders or URLs.")] = None,
    curation: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="What `vpdata curate` decided, once or several times."),
    ] = None,
    duplicates: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="What `vpdata duplicates --json` printed, once or several times."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The HTML page to write.")] = None,
    windows: Annotated[
        int, typer.Option(min=0, help="Windows of a data set that are decoded for brightness, motion and sharpness.")
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of those windows.")] = 0,
    as_json: output.JsonFlag = False,
) -> None:
    """Show what data sets hold: lengths, light, motion, language, actions; and what curation dropped and why."""
    if not places and not curation and not duplicates:
        raise typer.BadParameter("give DIR..., --curation, --duplicates, or several of these")
    from vpdata.overview.facts import to_json  # these load OpenCV and PySceneDetect
    from vpdata.overview.gather import gather
    from vpdata.overview.page import write_page

    datasets = [Dataset.open(place) for place in places or ()]
    with output.progress_bar("looking", None) as advance:
        overview = gather(
            datasets,
            curations=curation or (),
            duplicates=duplicates or (),
            num_windows=windows,
            seed=seed,
            advance=advance,
        )
    if out is not None:
        size = write_page(overview, out)
        output.say(f"{out}: written, {as_bytes(size)}.")
    if as_json:
        output.print_json(to_json(overview))
        return
    for facts in overview.datasets:
        output.print_table(_dataset_rows(facts), title=facts.place)
    for curated in overview.curations:
        output.print_table(_curation_rows(curated), title=f"{curated.place}: {curated.num_files} videos")
    for search in overview.duplicates:
        what = "leaks into evaluation" if search.against else "pairs show the same moments"
        output.print_table(_duplicate_rows(search), title=f"{search.place}: {len(search.pairs)} {what}")


def _dataset_rows(facts: "DatasetFacts") -> list[dict[str, str]]:
    cameras = facts.footage.cameras if facts.footage else ()
    dimensions = [dimension for space in facts.spaces if space.kind == "action" for dimension in space.dimensions]
    shown = {
        "episodes": f"{facts.num_episodes} in {facts.num_clips} clips",
        "length": f"{as_duration(facts.seconds)}, with actions {as_duration(facts.labelled_seconds)}",
        "episode": f"{_span(facts.episode_seconds)} s",
        "left out": str(len(facts.skipped) + len(facts.dropped)),
        "dropped before": ", ".join(f"{one.reason} {as_duration(one.seconds)}" for one in facts.curation),
        "fps": ", ".join(one.text for one in facts.fps),
        "tasks": str(len([task for task in facts.tasks if task.name])),
        "instructions": f"{facts.language.num_instructions}, of {facts.language.num_words} words",
        "brightness": "\n".join(f"{one.camera} {_span(one.looks.luma)}" for one in cameras),
        "motion": "\n".join(f"{one.camera} {_span(one.looks.motion)}" for one in cameras if one.looks.motion),
        "sharpness": "\n".join(f"{one.camera} {_span(one.looks.sharpness)}" for one in cameras),
        "constant actions": ", ".join(dimension.name for dimension in dimensions if dimension.constant),
    }
    return [{"of": of, "is": text} for of, text in shown.items() if text]


def _duplicate_rows(facts: "DuplicateFacts") -> list[dict[str, str | int]]:
    return [
        {
            "data set": one.name,
            "for": "evaluation" if one.is_evaluation else "",
            "episodes in pairs": one.num_episodes,
            "pairs": one.num_pairs,
        }
        for one in facts.sets
    ]


def _span(found: "Distribution") -> str:
    return f"{as_digits(found.median)} ({as_digits(found.min)} to {as_digits(found.max)})"


def _curation_rows(facts: "CurationFacts") -> list[dict[str, str | int]]:
    found = [("kept", facts.num_kept, facts.kept_seconds)]
    found += [(one.reason, one.num_spans, one.seconds) for one in facts.reasons]
    total = facts.seconds or 1.0
    return [
        {"what": what, "spans": spans, "length": as_duration(seconds), "share": f"{seconds / total:.1%}"}
        for what, spans, seconds in found
    ]
