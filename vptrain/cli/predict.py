"""`vptrain predict`: predicted against recorded video and actions for held-out clips."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vpdata.cli import output
from vpdata.mixture.mixture import Mixture
from vptrain.checkpoint import Checkpoint
from vptrain.cli.options import Device, TextEncoder
from vptrain.device import usable_device
from vptrain.rollout.held_out import predict_held_out

EPILOG = """
Examples:

`vptrain predict runs/policy --mixture manifests/demo.toml --out runs/policy/predictions`

`vptrain predict hf://user/drawer-policy --mixture manifests/demo.toml --out look`

`vptrain predict runs/policy/checkpoints/step-00000600 --mixture manifests/demo.toml --out look --steps 30 --guidance 2`
"""


def predict(
    run: Annotated[
        Path, typer.Argument(help="A run or one of its checkpoints, of stage 1 or 2, or hf://USER/NAME[@REVISION].")
    ],
    mixture: Annotated[Path, typer.Option(help="Mixture file whose held-out clips to predict.")],
    out: Annotated[Path, typer.Option(help="Folder for predictions.json, an mp4 and a PNG for each shown window.")],
    videos: Annotated[int, typer.Option(min=1, help="At most so many windows to show, spread evenly.")] = 8,
    windows: Annotated[int, typer.Option(min=1, help="At most so many windows to measure action errors on.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampler steps. Default: the model's.")] = None,
    video_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Read the actions off this step of the video instead of denoising both together."),
    ] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance scale. Default: the model's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler's noise.")] = 0,
    device: Device = None,
    text_encoder: TextEncoder = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Predict held-out clips from their first frames, and compare with what was recorded.

    Actions are compared as root mean squared error in normalised units (2 is the training set's whole range).
    """
    on = usable_device(device)
    checkpoint = Checkpoint.open(run)
    chosen: dict[str, Any] = {"num_steps": steps, "video_steps": video_steps, "guidance": guidance}
    sampling = replace(checkpoint.model.sampling, **{k: v for k, v in chosen.items() if v is not None})
    if checkpoint.run.stage != "stage1" and checkpoint.normalizer is None:
        output.say(
            f"{checkpoint.place}: without action statistics the actions cannot be predicted, only the video. "
            "Convert the public checkpoint again with --mixture."
        )
    with output.progress_bar("windows", None) as advance:
        result = predict_held_out(
            checkpoint,
            Mixture.open(mixture),
            out,
            sampling=sampling,
            num_videos=videos,
            num_windows=windows,
            seed=seed,
            device=on,
            report=advance,
            text_location=text_encoder,
        )
    if as_json:
        output.print_json(result)
        return
    video, actions = result["video"], result["actions"]
    rows = [
        {
            "what": "video PSNR, dB",
            "predicted": video["psnr"],
            "baseline": video["baseline_psnr"],
            "baseline is": "repeating the first frame",
            "windows": video["num_windows"],
        }
    ]
    if actions is not None:
        rows.append(
            {
                "what": "action error",
                "predicted": actions["error"],
                "baseline": actions["baseline_error"],
                "baseline is": "the mean action",
                "windows": actions["num_windows"],
            }
        )
    output.print_table(rows, title=f"Held-out predictions, in {out}")
