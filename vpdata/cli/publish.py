"""`vpdata publish`: a data set onto the Hugging Face Hub."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.hub.scan import KINDS
from vpdata.pages.units import as_bytes
from vpdata.shards.dataset import Dataset

EPILOG = """
Examples:

`vpdata publish data/kitchen --repo-id user/kitchen --license cc-by-4.0 --dry-run`

`vpdata publish data/kitchen --repo-id user/kitchen --private`
"""

Private = Annotated[bool, typer.Option("--private", help="Make a new repository a private one.")]
Branch = Annotated[
    str, typer.Option("--revision", metavar="BRANCH", help="The branch to publish to; made where needed.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND", help="Publish what looks like an email, location, path, secret or user."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and send nothing.")]


def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The data set's folder.")],
    repo_id: Annotated[
        str, typer.Option(metavar="USER/NAME", help="The data set repository; it is made where it does not exist.")
    ],
    private: Private = False,
    revision: Branch = "main",
    licence: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="Instead of what the episodes' attribute `licence` says."),
    ] = None,
    allow: Allow = None,
    dry_run: DryRun = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Publish a data set on the Hugging Face Hub with a card. What is there already is not sent again."""
    from vpdata.hub.publish import publish as publish_dataset  # loads the Hub's client, OpenCV and Matplotlib

    kinds = known_kinds(allow)
    dataset = Dataset.open(folder)
    total = sum(shard.size for shard in dataset.manifest.shards)
    try:
        with output.progress_bar("publishing", total) as advance:
            done = publish_dataset(
                dataset,
                repo_id,
                private=private,
                branch=revision,
                licence=licence,
                allow=kinds,
                dry_run=dry_run,
                progress=advance,
            )
    except KeyboardInterrupt:
        output.say("interrupted; the same command goes on from what is there.")
        raise typer.Exit(130) from None
    if as_json:
        output.print_json({**asdict(done), "dry_run": dry_run})
    else:
        row = {"url": done.url, "license": done.licence, "files": done.num_files, "size": as_bytes(done.num_bytes)}
        output.print_table([{**row, "deleted": done.num_deleted, "commits": done.num_commits}])
    if not done.num_commits:
        output.say("the branch holds all of it already.")


def known_kinds(allow: list[str] | None) -> tuple[str, ...]:
    """The kinds of findings that may be published. Raises typer.BadParameter for one that is none."""
    for kind in allow or ():
        if kind not in KINDS:
            raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="--allow")
    return tuple(allow or ())
