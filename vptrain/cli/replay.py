"""`vptrain replay`: a step that could not be taken, computed again."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vpdata.cli import output
from vptrain.cli.options import Device, TextEncoder
from vptrain.device import usable_device
from vptrain.training.failure import replay as replay_step

EPILOG = """
Examples:

`vptrain replay runs/video/failed/step-00000042`

`vptrain replay runs/video/failed/step-00000042 --json`
"""


def replay(
    failed: Annotated[
        Path, typer.Argument(help="Folder RUN/failed/step-N, as the message of the failed run names it.")
    ],
    device: Device = None,
    text_encoder: TextEncoder = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Compute a step again whose loss was not finite or ran away, and name its windows, the worst first."""
    result = replay_step(failed, device=usable_device(device), text_location=text_encoder)
    if as_json:
        output.print_json(_finite(asdict(result)))
        return
    rows = [{"loss": one.loss, "again": one.loss_again, **asdict(one.window)} for one in result.windows]
    output.print_table(
        rows,
        title=f"Step {result.step}: loss {result.loss:.4g}, again {result.loss_again:.4g}, "
        f"gradient norm {result.gradient_norm:.4g}",
    )


def _finite(value: Any) -> Any:
    """Plain values for JSON, which has no other numbers: those that are not finite become text."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value
