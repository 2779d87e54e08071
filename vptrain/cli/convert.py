"""`vptrain convert`: public checkpoints to our layout, and ours to theirs."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vpdata.cli import output
from vpdata.mixture.mixture import Mixture
from vptrain.checkpoint import Checkpoint, DataPosition, save_checkpoint
from vptrain.errors import VptrainError
from vptrain.models.reference import Conversion, converted_policy, write_reference
from vptrain.normalize import ActionNormalizer
from vptrain.recipes.models import model_config
from vptrain.recipes.runs import run_config

EPILOG = """
Examples:

`vptrain convert stage_2_trained.ckpt --stage stage2 --mixture manifests/robocasa.toml --out runs/public`

`vptrain convert stage_1_trained.safetensors --stage stage1 --out runs/public-video`

`vptrain convert runs/policy --out policy.safetensors`
"""
LISTED = 20


def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="A public .ckpt or .safetensors file, or one of our runs or checkpoints."),
    ],
    out: Annotated[
        Path, typer.Option(help="Run folder to make; or, for a run of ours, the .safetensors file to write.")
    ],
    model: Annotated[str, typer.Option(help="Model size of a public file.")] = "svd",
    stage: Annotated[
        Literal["stage1", "stage2", "joint"], typer.Option(help="What a public file was trained for.")
    ] = "stage2",
    mixture: Annotated[
        Path | None,
        typer.Option(help="Mixture of its training set, for the action statistics that public files lack."),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Convert a public Video Policy checkpoint into a run of ours, or one of ours into the public layout.

    Every tensor is accounted for: converted, left out for a stated reason, missing or unexpected.
    """
    if source.is_dir():
        _to_reference(source, out, as_json=as_json)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "the folder is not empty." if out.is_dir() else "this is not a folder."
        raise VptrainError(what, path=out, hint="Choose another --out.")
    config = model_config(model)
    policy, conversion = converted_policy(source, config)
    needed = ("unet.", "autoencoder.") if stage == "stage1" else ("unet.", "autoencoder.", "encoder.", "head.")
    lacking = [name for name in conversion.missing if name.startswith(needed)]
    if lacking:
        raise VptrainError(
            f"{len(lacking)} tensors that {stage} needs are missing, such as {', '.join(lacking[:3])}.",
            path=source,
            hint="Name what the file was trained for with --stage, and its size with --model.",
        )
    normalizer = None
    if mixture is not None:
        normalizer = ActionNormalizer.fit(Mixture.open(mixture).training_clips(), space=config.action_space)
    checkpoint = save_checkpoint(
        out,
        step=0,
        weights=policy.state_dict(),
        average=None,
        model=config,
        run=replace(run_config(config, "stage1" if stage == "stage1" else "stage2"), stage=stage),
        normalizer=normalizer,
        data=DataPosition(mixture=str(mixture or ""), digest="", position=0),
        optimizer_state={},
    )
    _print(conversion, checkpoint, as_json=as_json)


def _to_reference(source: Path, out: Path, *, as_json: bool) -> None:
    if out.suffix != ".safetensors":
        raise typer.BadParameter("a run of ours is written as a .safetensors file", param_hint="--out")
    written = write_reference(Checkpoint.open(source).load_policy(), out)
    result = {"file": str(out), "tensors": written}
    output.print_json(result) if as_json else output.print_table([result])


def _print(conversion: Conversion, checkpoint: Path, *, as_json: bool) -> None:
    if as_json:
        result: dict[str, Any] = {
            "checkpoint": str(checkpoint),
            "converted": conversion.converted,
            "left_out": dict(conversion.left_out),
            "missing": list(conversion.missing),
            "unexpected": list(conversion.unexpected),
        }
        output.print_json(result)
        return
    rows = [{"tensors": conversion.converted, "what": "converted"}]
    rows += [{"tensors": count, "what": f"left out: {reason}"} for reason, count in conversion.left_out.items()]
    for names, what in ((conversion.missing, "missing"), (conversion.unexpected, "unexpected")):
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            rows.append({"tensors": len(names), "what": f"{what}: {', '.join(names[:LISTED])}{more}"})
    output.print_table(rows, title=str(checkpoint))
