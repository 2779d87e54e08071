"""Registers the verbs of `vpdata`; nothing else happens here."""

from typing import Annotated

import typer

from vpdata import __version__
from vpdata.cli import (
    cache,
    collect,
    curate,
    decoders,
    diff,
    duplicates,
    export,
    info,
    ingest,
    mix,
    output,
    preview,
    publish,
    pull,
    repair,
    sets,
    spaces,
    split,
    stats,
    validate,
)

app = typer.Typer(
    name="vpdata",
    help="Turn robot recordings and videos into sharded, checksummed, multi-camera video clips.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

app.command(epilog=curate.EPILOG)(curate.curate)
app.command(epilog=collect.EPILOG)(collect.collect)
app.command(epilog=ingest.EPILOG)(ingest.ingest)
app.command(epilog=duplicates.EPILOG)(duplicates.duplicates)
app.command(epilog=info.EPILOG)(info.info)
app.command(epilog=stats.EPILOG)(stats.stats)
app.command(epilog=validate.EPILOG)(validate.validate)
app.command(epilog=repair.EPILOG)(repair.repair)
app.command(epilog=mix.EPILOG)(mix.mix)
app.command(epilog=split.EPILOG)(split.split)
app.command(epilog=sets.MERGE_EPILOG)(sets.merge)
app.command(epilog=sets.FILTER_EPILOG, name="filter")(sets.filter_)
app.command(epilog=sets.SUBSET_EPILOG)(sets.subset)
app.command(epilog=sets.DELETE_EPILOG)(sets.delete)
app.command(epilog=sets.RELABEL_EPILOG)(sets.relabel)
app.command(epilog=sets.RESHARD_EPILOG)(sets.reshard)
app.command(epilog=export.EPILOG)(export.export)
app.command(epilog=preview.EPILOG)(preview.preview)
app.command(epilog=decoders.EPILOG)(decoders.decoders)
app.command(epilog=spaces.EPILOG, name="spaces")(spaces.show_spaces)
app.command(epilog=publish.EPILOG)(publish.publish)
app.command(epilog=pull.EPILOG)(pull.pull)
app.command(epilog=diff.EPILOG)(diff.diff)
app.command(epilog=cache.EPILOG)(cache.cache)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vpdata {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Reads the options that stand before the verb."""


def main() -> None:
    """Entry point of the `vpdata` command."""
    output.run(app, prog_name="vpdata")
