"""`vptrain report`: one HTML page about all that was made, trained and predicted."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vptrain.report.gather import gather
from vptrain.report.headline import headlines
from vptrain.report.page import write_page

EPILOG = """
Examples:

`vptrain report --mixture demo.toml --stage1 runs/video --out report.html`

`vptrain report --mixture demo.toml --stage1 runs/video --stage2 runs/policy --predictions look --out r.html`
"""


def report(
    mixture: Annotated[Path, typer.Option(help="Mixture file that the runs were trained on; it names the data sets.")],
    stage1: Annotated[Path, typer.Option(help="Folder of the stage-1 run.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write; one that is there is replaced.")],
    stage2: Annotated[Path | None, typer.Option(help="Folder of the stage-2 run.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Folder that `vptrain predict` wrote.")] = None,
    times: Annotated[Path | None, typer.Option(help="File of commands, seconds and memory, as the demo keeps.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Write one self-contained HTML page: data, mixture, losses, predictions against recordings, times."""
    findings = gather(
        mixture_file=mixture, stage1=stage1, stage2=stage2, predictions_folder=predictions, times_file=times
    )
    size = write_page(findings, out)
    found = headlines(findings)
    if as_json:
        output.print_json({"page": str(out), "bytes": size, "headlines": [asdict(one) for one in found]})
        return
    rows = [{"of": one.label, "is": one.value, "against": one.comparison} for one in found]
    output.print_table(rows, title=f"{out} ({size / 1e6:.1f} MB)")
