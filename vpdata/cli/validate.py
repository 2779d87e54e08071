"""`vpdata validate`: whether data sets are whole."""

import os
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.shards.manifest import read_manifest
from vpdata.shards.validate import Report
from vpdata.shards.validate import validate as check

EPILOG = """
Examples:

`vpdata validate drawer`

`vpdata validate drawer libero --decode --json`
"""


def validate(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Data set folders.")],
    decode: Annotated[bool, typer.Option("--decode", help="Also decode every frame and array.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Check data sets: every digest, checksum, header and count. Lists all problems; exit code 1 if there are any."""
    reports = []
    shards = [len(read_manifest(folder)[0].shards) for folder in folders]  # a wrong path is told before the long work
    for folder, num_shards in zip(folders, shards, strict=True):
        with output.progress_bar(f"checking {folder}", num_shards) as advance:
            reports.append(check(folder, decode=decode, workers=os.cpu_count() or 1, progress=advance))
    if as_json:
        output.print_json([_as_json(report) for report in reports])
    else:
        _print(reports)
    if any(report.problems for report in reports):
        raise typer.Exit(1)


def _as_json(report: Report) -> dict[str, object]:
    return {
        "path": str(report.path),
        "shards": report.num_shards,
        "clips": report.num_clips,
        "bytes": report.num_bytes,
        "problems": [{"file": p.file, "clip": p.key, "what": p.what} for p in report.problems],
    }


def _print(reports: list[Report]) -> None:
    summary = [
        {
            "path": str(report.path),
            "shards": report.num_shards,
            "clips": report.num_clips,
            "bytes": report.num_bytes,
            "problems": len(report.problems),
        }
        for report in reports
    ]
    output.print_table(summary)
    for report in reports:
        for problem in report.problems:
            where = ", ".join(part for part in (str(report.path / problem.file), problem.key) if part)
            output.say(f"{where}: {problem.what}")
        if report.problems:
            output.say(f"`vpdata repair {report.path} --dry-run` shows what can be kept.")
