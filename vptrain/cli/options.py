"""Options that several commands have alike."""

from typing import Annotated

import typer

Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1. Default: a GPU where there is one.")]
TextEncoder = Annotated[
    str | None, typer.Option(help="Folder or Hub repository of the CLIP text encoder (models other than tiny).")
]
