"""`vptrain latents`: encode the clips of a mixture once, so that training need not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from vpdata.cli import output
from vpdata.mixture.mixture import Mixture
from vpdata.pages.units import as_bytes
from vptrain.checkpoint import Checkpoint
from vptrain.cli import stages
from vptrain.cli.base import Base, RecipeName
from vptrain.cli.options import Device
from vptrain.config import to_dict
from vptrain.config.run import Precision
from vptrain.device import usable_device
from vptrain.latents.encode import LatentEncoder
from vptrain.latents.recipe import LatentRecipe
from vptrain.latents.write import LatentPlan, write
from vptrain.models.autoencoder import tensors_digest
from vptrain.models.pretrained import initial_policy

EPILOG = """
Examples:

`vptrain latents --mixture manifests/demo.toml --out latents/demo`

`vptrain latents --mixture manifests/all.toml --out latents/all --model svd --pretrained /models/svd-xt --dry-run`

`vptrain latents --mixture manifests/all.toml --out latents/all --from runs/svd --variants 8 --precision bf16`
"""
JITTERED_VARIANTS = 4


def latents(
    mixture: stages.Mixture,
    out: Annotated[Path, typer.Option(help="Folder that gets a data set of latents for each source.")],
    recipe: RecipeName = None,
    model: stages.ModelSize = None,
    pretrained: stages.Pretrained = None,
    set_model: stages.ModelSettings = None,
    from_run: Annotated[
        Path | None, typer.Option("--from", help="Run or checkpoint whose model, autoencoder and jitter to take.")
    ] = None,
    variants: Annotated[
        int | None,
        typer.Option(min=1, help="Draws of jitter and noise for each frame. Default: 4 with jitter, 1 without."),
    ] = None,
    color_jitter: Annotated[
        bool | None, typer.Option("--jitter/--no-jitter", help="Colour jitter. Default: as the model's stage 1.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of jitter and noise.")] = 0,
    dtype: Annotated[Precision, typer.Option(help="Of the stored numbers.")] = "fp16",
    precision: Annotated[Precision, typer.Option(help="Of the autoencoder's arithmetic.")] = "fp32",
    batch_size: Annotated[int, typer.Option(min=1, help="Frames that are encoded at once.")] = 32,
    num_workers: Annotated[int, typer.Option(min=1, help="Threads that decode ahead.")] = 2,
    device: Device = None,
    allow_changed_data: stages.AllowChangedData = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made and how large it is.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Encode every frame of a mixture's data sets in advance: runs with --latents then neither decode nor encode.

    Of each frame of each camera, the mean and log variance of its latents are kept, and the latents of the frame with
    the noise that the first frame of a window gets. Run again after an interruption, it keeps the shards that are done.
    """
    data = Mixture.open(mixture, allow_changed=allow_changed_data)
    if from_run is None:
        base, checkpoint = Base.chosen("stage1", recipe=recipe, config=None), None
        config = base.model_with(model, pretrained, set_model)
        jitter = base.run_of(config).color_jitter
    else:
        of_model = {"recipe": recipe, "model": model, "pretrained": pretrained, "set_model": set_model}
        stages.refuse(of_model, "the run named by --from has its own; leave the option out")
        checkpoint = Checkpoint.open(from_run)
        config, jitter = checkpoint.model, checkpoint.run.color_jitter
    jitter = jitter if color_jitter is None else color_jitter
    made_by = LatentRecipe.of(
        config,
        autoencoder="",
        color_jitter=jitter,
        num_variants=variants or (JITTERED_VARIANTS if jitter else 1),
        seed=seed,
        dtype=dtype,
        precision=precision,
    )
    if not dry_run:
        policy = initial_policy(config, seed=0) if checkpoint is None else checkpoint.load_policy()
        made_by = replace(made_by, autoencoder=tensors_digest(policy.autoencoder))
        encoder = LatentEncoder(
            policy.autoencoder, made_by, device=torch.device(usable_device(device)), chunk=batch_size
        )
        del policy  # all but the autoencoder
    plans = {
        entry.name: LatentPlan(source=dataset, recipe=made_by)
        for entry, dataset in zip(data.spec.sources, data.datasets, strict=True)
    }
    if not dry_run:
        with output.progress_bar("camera frames", sum(plan.camera_frames for plan in plans.values())) as advance:
            for name, plan in plans.items():
                write(plan, out / name, encoder, num_workers=num_workers, progress=advance)
    _print(plans, out, made_by, is_made=not dry_run, as_json=as_json)


def _print(plans: Mapping[str, LatentPlan], out: Path, recipe: LatentRecipe, *, is_made: bool, as_json: bool) -> None:
    rows = [
        {
            "source": name,
            "clips": len(plan.source.index),
            "camera_frames": plan.camera_frames,
            "variants": recipe.num_variants,
            "bytes_a_frame_and_variant": recipe.bytes_a_frame,
            "bytes": plan.num_bytes,
        }
        for name, plan in plans.items()
    ]
    total = sum(plan.num_bytes for plan in plans.values())
    if as_json:
        output.print_json(
            {"out": str(out), "made": is_made, "bytes": total, "recipe": to_dict(recipe), "sources": rows}
        )
        return
    output.print_table(rows)
    output.say(f"{as_bytes(total)} of latents {'are' if is_made else 'would be made'} in {out}.")
