"""`vptrain publish`: a model onto the Hugging Face Hub."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.cli.publish import Allow, Branch, DryRun, Private, known_kinds
from vpdata.pages.units import as_bytes

EPILOG = """
Examples:

`vptrain publish runs/policy --repo-id user/drawer-policy --license apache-2.0 --dry-run`

`vptrain publish runs/policy/checkpoints/step-00000600 --repo-id user/drawer-policy --private`
"""


def publish(
    run: Annotated[Path, typer.Argument(help="A run, for its latest checkpoint, or one of its checkpoints.")],
    repo_id: Annotated[
        str, typer.Option(metavar="USER/NAME", help="The model repository; it is made where it does not exist.")
    ],
    private: Private = False,
    revision: Branch = "main",
    licence: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="Of the weights, where it does not follow from the base model's."),
    ] = None,
    allow: Allow = None,
    dry_run: DryRun = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Publish a model on the Hugging Face Hub with a card, in one commit. What is there already is not sent again."""
    from vptrain.hub.publish import publish as publish_model  # loads the Hub's client

    kinds = known_kinds(allow)
    try:
        done = publish_model(
            run, repo_id, private=private, branch=revision, licence=licence, allow=kinds, dry_run=dry_run
        )
    except KeyboardInterrupt:
        output.say("interrupted; the same command goes on from what has arrived.")
        raise typer.Exit(130) from None
    if as_json:
        output.print_json({**asdict(done), "dry_run": dry_run})
    else:
        row = {"url": done.url, "step": done.step, "license": done.licence, "files": done.num_files}
        output.print_table([{**row, "size": as_bytes(done.num_bytes), "commits": done.num_commits}])
    if not done.num_commits:
        output.say("the branch holds all of it already.")
