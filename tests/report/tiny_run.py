"""A tiny run as a user makes it, through the commands."""

from dataclasses import dataclass
from pathlib import Path

import typer
from typer.testing import CliRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyRun:
    """Where everything lies; to be read only."""

    mixture: Path
    stage1: Path
    stage2: Path
    predictions: Path


def call(app: typer.Typer, *arguments: object) -> str:
    """Runs a command that must succeed; returns its stdout."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, f"{arguments}: {result.output}{result.exception!r}"
    return result.stdout
