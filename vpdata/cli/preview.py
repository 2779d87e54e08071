"""`vpdata preview`: look at a data set."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output

EPILOG = """
Examples:

`vpdata preview data/robocasa --out preview`

`vpdata preview data/video --out preview --clips 8 --seed 1`
"""


def preview(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The data set.")],
    out: Annotated[Path, typer.Option(help="Folder for contact.png and preview.mp4.")],
    clips: Annotated[int, typer.Option(min=1, help="Clips to show, chosen evenly over the data set.")] = 4,
    seed: Annotated[int, typer.Option(help="Another seed shows other clips.")] = 0,
    as_json: output.JsonFlag = False,
) -> None:
    """Draw a contact sheet (PNG) and a video (mp4) of some clips, with their actions below."""
    from vpdata.preview import preview as draw  # matplotlib takes its time; no other verb needs it

    shown = draw(folder, out, num_clips=clips, seed=seed)
    if as_json:
        output.print_json({**asdict(shown), "contact": str(shown.contact), "video": str(shown.video)})
    else:
        output.print_table([{"clip": key} for key in shown.keys], title="Shown")
        output.say(f"{shown.contact} and {shown.video} ({shown.seconds:.1f} s): written.")
