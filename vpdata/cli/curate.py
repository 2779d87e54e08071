"""`vpdata curate`: footage to the spans of it that are worth keeping."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from vpdata.cli import output
from vpdata.cli.duplicates import held_out
from vpdata.curation.spans import Reason
from vpdata.curation.thresholds import DEFAULTS, Thresholds

EPILOG = """
Examples:

`vpdata curate footage/ --out curation`

`vpdata curate --print-thresholds`

`vpdata curate footage/ --out curation --thresholds strict.toml`

`vpdata curate footage/ --out curation --duplicates --against data/exam --against manifests/drawer.toml`

Run the same command again after an interruption, or with other thresholds: what is measured is used again.
"""


def curate(
    src: Annotated[
        list[Path] | None, typer.Argument(help="Videos, folders or 'patterns' of videos, or lists of them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to make, or to go on with.")] = None,
    thresholds: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What to keep (TOML); what it leaves out is as by default.")
    ] = None,
    print_thresholds: Annotated[
        bool, typer.Option("--print-thresholds", help="Print the default thresholds as a file, and do nothing else.")
    ] = False,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Also drop spans that show what another, longer one shows.")
    ] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR|FILE", help="Also drop what this data set, or a mixture's held-out episodes, show."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode; one a processor otherwise.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Find the scenes of action-free video, less what is black, frozen, static, blurry, too small or too short."""
    if print_thresholds:
        typer.echo(DEFAULTS, nl=False)
        return
    if not src or out is None:
        raise typer.BadParameter("give SRC... and --out, or --print-thresholds")
    from vpdata.curation.curate import curate as carry_out  # these load OpenCV and PySceneDetect
    from vpdata.curation.stored import stored_recordings

    wanted = Thresholds() if thresholds is None else Thresholds.read(thresholds)
    others = None
    if against:
        with output.progress_bar("hashing recordings", None) as advance:
            others = stored_recordings([some for place in against for some in held_out(place)], progress=advance)
    try:
        with output.progress_bar("measuring", None) as advance:
            outcome = carry_out(
                src, out, wanted, duplicates=duplicates, against=others, workers=workers, progress=advance
            )
    except KeyboardInterrupt:
        output.say("interrupted; the same command goes on from what is measured.")
        raise typer.Exit(130) from None
    files = outcome.curation.files
    rows = [
        _row("came in", [(0.0, file.duration_seconds) for file in files]),
        _row("kept", [(span.start_seconds, span.stop_seconds) for file in files for span in file.kept]),
    ]
    dropped = [span for file in files for span in file.dropped]
    for reason in get_args(Reason):
        spans = [(span.start_seconds, span.stop_seconds) for span in dropped if span.reason == reason]
        if spans:
            rows.append(_row(reason, spans))
    if as_json:
        output.print_json({"path": str(out), "files": [asdict(file) for file in files], "totals": rows})
        return
    output.print_table(rows)
    output.say(f"{len(files)} videos: {outcome.num_measured} measured, {outcome.num_reused} were measured before.")
    for file in files:
        for span in file.dropped:
            if span.reason == "unreadable":
                output.say(f"unreadable {file.file}: {span.detail}")


def _row(name: str, spans: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {"what": name, "spans": len(spans), "seconds": round(sum(stop - start for start, stop in spans), 3)}
