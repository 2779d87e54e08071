"""Registers the verbs of `vpdata`; nothing else happens here."""

import typer

from vpdata.cli import output

app = typer.Typer(
    name="vpdata",
    help="Turn robot recordings and videos into sharded, checksummed, multi-camera video clips.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the `vpdata` command."""
    output.run(app, prog_name="vpdata")
