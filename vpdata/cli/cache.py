"""`vpdata cache`: what has been fetched of remote data sets, and removing it."""

from dataclasses import asdict
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.shards.cache import FOLDER_VARIABLE, LIMIT_VARIABLE, Cache, parse_size

EPILOG = f"""
The cache is where {FOLDER_VARIABLE} says (or else vpdata in $XDG_CACHE_HOME or ~/.cache), and holds what
{LIMIT_VARIABLE} says (such as 200G, or else a tenth of its disk). Several runs may use it at the same time.

Examples:

`vpdata cache`

`vpdata cache --prune-to 50G`

`vpdata cache --prune-to 0 --json`
"""


def cache(
    prune_to: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="First remove what was read longest ago, until SIZE is left (`50G`; 0 for nothing)."
        ),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show where the blocks of remote data sets are kept, how much is there, and how much may be."""
    found = Cache.default()
    if prune_to is not None:
        found.prune(parse_size(prune_to))
    row = {"folder": str(found.folder), "limit": found.limit, **asdict(found.usage())}
    if as_json:
        output.print_json(row)
    else:
        output.print_table([{"of": name, "is": value} for name, value in row.items()])
