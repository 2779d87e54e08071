"""`vptrain check-video`: whether a run's video is good enough to train actions on."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.mixture.mixture import Mixture
from vptrain.checkpoint import Checkpoint
from vptrain.cli.options import Device, TextEncoder
from vptrain.device import usable_device
from vptrain.errors import VptrainError
from vptrain.training.gate import (
    MAX_PSNR,
    MIN_FIRST_PSNR,
    MIN_GAIN_DB,
    SHEET,
    CameraScore,
    check_video,
    complaint,
    run_folder,
)
from vptrain.training.quality import Quality

EPILOG = """
Examples:

`vptrain check-video runs/video --mixture manifests/demo.toml`

`vptrain check-video runs/video --mixture manifests/demo.toml --min-gain 2 --lpips-weights alexnet-owt-7be5be79.pth`
"""


def check(
    run: Annotated[Path, typer.Argument(help="A run of stage 1 or one of its checkpoints.")],
    mixture: Annotated[Path, typer.Option(help="Mixture file whose held-out clips to predict.")],
    windows: Annotated[int, typer.Option(min=1, help="At most so many windows, spread evenly.")] = 64,
    min_gain: Annotated[
        float,
        typer.Option(
            min=-MAX_PSNR,
            max=MAX_PSNR,
            help="By how many dB the predicted change must be nearer than none to the recorded one.",
        ),
    ] = MIN_GAIN_DB,
    min_first: Annotated[
        float, typer.Option(min=0, max=MAX_PSNR, help="PSNR in dB that the predicted first frame must have.")
    ] = MIN_FIRST_PSNR,
    lpips_weights: Annotated[
        Path | None, typer.Option(help="AlexNet's weights, for LPIPS. Default: in torch's hub cache, if it is there.")
    ] = None,
    fvd_weights: Annotated[
        Path | None,
        typer.Option(help="TorchScript video network, for the Fréchet distance. Default: in torch's hub cache."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler's noise.")] = 0,
    device: Device = None,
    text_encoder: TextEncoder = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Predict held-out clips and judge the video before stage 2 builds on it; exit code 1 where it is not good enough.

    Writes RUN/check-video.json and RUN/check-video.png, which shows windows from the worst to the best.
    """
    on = usable_device(device)
    checkpoint = Checkpoint.open(run)
    quality = Quality.load(lpips_weights=lpips_weights, fvd_weights=fvd_weights)
    for reason in quality.missing:
        output.say(reason)
    with output.progress_bar("windows", None) as advance:
        checked = check_video(
            checkpoint,
            Mixture.open(mixture),
            quality=quality,
            num_windows=windows,
            seed=seed,
            device=on,
            report=advance,
            min_gain_db=min_gain,
            min_first_psnr=min_first,
            text_location=text_encoder,
        )
    if as_json:
        output.print_json(asdict(checked))
    else:
        output.print_table(
            [_row(camera) for camera in checked.cameras],
            title=f"Held-out video of step {checked.step}, pictured in {run_folder(checkpoint) / SHEET}",
        )
        verdict, motion = "passed" if checked.passed else "FAILED", checked.motion
        output.say(
            f"{verdict}, by {checked.num_windows} windows of {checked.judged}: the change over time gains "
            f"{motion.gain_db:.1f} dB (at least {min_gain:g} wanted), the first frame has {motion.first_psnr:.1f} dB "
            f"(at least {min_first:g} wanted)."
        )
    if not checked.passed:
        raise typer.Exit(1)


def _row(camera: CameraScore) -> dict[str, object]:
    return {
        "source": camera.source,
        "camera": camera.camera,
        "windows": camera.num_windows,
        "change": camera.motion.change,
        "gain, dB": camera.motion.gain_db,
        "first PSNR": camera.motion.first_psnr,
        "PSNR": camera.scores.psnr,
        "repeated": camera.baseline.psnr,
        "SSIM": camera.scores.ssim,
        "repeated ": camera.baseline.ssim,
        "LPIPS": camera.scores.lpips,
        "FVD": camera.scores.fvd,
    }


def before_stage2(run: Path, *, required: bool) -> None:
    """Says so where the video that stage 2 builds on has not passed its check; refuses it where that is required."""
    checkpoint = Checkpoint.open(run)
    problem = complaint(checkpoint)
    if problem is None:
        return
    hint = f"`vptrain check-video {run} --mixture MIXTURE` says how good it is."
    if required:
        raise VptrainError(f"{problem}.", path=run, hint=hint)
    output.say(f"{run}: {problem}; where the video is wrong, the actions will be. {hint}")
