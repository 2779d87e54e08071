"""`vpdata repair`: a whole data set of what is left of a damaged one."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.shards.manifest import Manifest
from vpdata.shards.repair import Diagnosis, examine
from vpdata.shards.repair import repair as carry_out
from vpdata.shards.replacement import finish_interrupted

EPILOG = """
Examples:

`vpdata repair drawer --dry-run`

`vpdata repair drawer --out drawer-repaired --decode`

`vpdata repair drawer --yes --json`

Run the same command again after an interruption.
"""


def repair(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The damaged data set.")],
    out: Annotated[
        Path | None, typer.Option(help="Make the whole data set here, and leave DIR as it is. Default: in place.")
    ] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Also drop clips whose frames do not decode.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before DIR is changed.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Drop the clips that are damaged, and make a whole data set of the others. Says what is lost and why."""
    target = out or folder
    if not dry_run and finish_interrupted(target):
        output.say(f"{target}: cleared up after a repair that was interrupted.")
    with output.progress_bar(f"checking {folder}", None) as advance:
        diagnosis = examine(folder, decode=decode, workers=os.cpu_count() or 1, progress=advance)
    _say(diagnosis)
    manifest: Manifest | None = None
    if not dry_run and (out is not None or not diagnosis.is_whole):
        if out is None and not yes:
            typer.confirm(f"Replace the damaged files of {folder}?", abort=True, err=True)
        manifest = carry_out(diagnosis, out=out)
    row = _summary(diagnosis, manifest)
    if as_json:
        dropped = [asdict(clip) for clip in diagnosis.dropped]
        output.print_json({**row, "dropped": dropped, "unvouched": list(diagnosis.unvouched)})
    else:
        output.print_table([row])


def _say(diagnosis: Diagnosis) -> None:
    """What is wrong beyond single clips, and every clip that is lost."""
    folder, salvaged = diagnosis.path, diagnosis.salvaged
    if diagnosis.is_whole:
        output.say(f"{folder} is whole; there is nothing to repair.")
    if not salvaged.has_manifest:
        output.say("The manifest is damaged or missing. It is made again, without the options of the ingest.")
    if not salvaged.has_index:
        output.say("The index is damaged or missing. It is made again from the shards.")
    if diagnosis.unvouched:
        names = ", ".join(diagnosis.unvouched)
        output.say(
            f"NOTHING VOUCHES FOR THE BYTES of {names}: their checksums are gone, and new ones are made from what is "
            "there, damaged or not. `--decode` at least drops clips that do not decode."
        )
    elif not salvaged.has_manifest:
        output.say("Members are checked against the index, for which nothing vouches now.")
    if salvaged.num_incomplete:
        output.say(f"{salvaged.num_incomplete} clips lie in pieces and are passed over.")
    if diagnosis.num_episodes_gone:
        output.say(f"{diagnosis.num_episodes_gone} episodes are gone altogether, with whatever named them.")
    for name in diagnosis.strays:
        output.say(f"{folder / name} is not part of the data set and is left alone.")
    for clip in diagnosis.dropped:
        what = f"dropped {clip.key or 'a clip'} ({clip.file}, {clip.episode}, {clip.num_starts} window starts"
        output.say(f"{what} from frame {clip.start_frame}): {clip.reason}")


def _summary(diagnosis: Diagnosis, manifest: Manifest | None) -> dict[str, object]:
    """One row: what was found, and whether it was repaired."""
    old = {shard.name for shard in diagnosis.salvaged.manifest.shards}
    damaged = {problem.file for problem in diagnosis.problems} & old
    return {
        "path": str(diagnosis.path),
        "shards": len(old),
        "damaged_shards": len(damaged),
        "dropped_clips": len(diagnosis.dropped),
        "lost_starts": diagnosis.num_starts_lost,
        "clips": len(diagnosis.salvaged.index) - sum(len(check.lost) for check in diagnosis.checks),
        "written": manifest is not None,
    }
