"""The one output layer: data goes to stdout as a table or as JSON, messages and progress go to stderr."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from vpdata.errors import VpdataError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]

UNFOLDED = 100_000

messages = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Writes one JSON document to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """Writes rows with equal keys as a table to stdout; nothing but the title where there are none."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in rows[0] if rows else ():
        numeric = all(isinstance(row[column], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = UNFOLDED  # a file or a pipe gets a row a line
    console.print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def say(text: str) -> None:
    """Writes a message to stderr."""
    messages.print(text, markup=False)


class RateColumn(ProgressColumn):
    """How many a second, of late; of all of them at the end."""

    def render(self, task: Task) -> Text:
        """See `ProgressColumn.render`."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s")


@contextmanager
def progress_bar(description: str, total: int | None) -> Iterator[Any]:
    """A progress bar on stderr with rate and time left, silent without a terminal.

    Yields `advance(count=1, note="")`; a note stands behind the description.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=messages,
        disable=not messages.is_terminal,
    ) as progress:
        task = progress.add_task(description, total=total)

        def advance(count: int = 1, note: str = "") -> None:
            progress.update(task, advance=count, description=f"{description}  {note}" if note else None)

        yield advance


def run(app: typer.Typer, *, prog_name: str, errors: tuple[type[Exception], ...] = (VpdataError,)) -> None:
    """Runs a Typer app; our own errors become one paragraph on stderr and exit code 1, others keep their traceback."""
    try:
        app(prog_name=prog_name)
    except errors as error:
        messages.print("[bold red]error:[/] ", end="")
        messages.print(str(error), markup=False)
        raise SystemExit(1) from None
