"""A checkpoint and a mixture in; a folder with predicted against recorded video and actions of held-out clips out."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata import spaces
from vpdata.loader.window import Window
from vpdata.mixture.mixture import Mixture, PlacedClip
from vpdata.shards.files import full_disk_as_error
from vptrain.checkpoint import Checkpoint
from vptrain.config import SamplingConfig
from vptrain.errors import VptrainError
from vptrain.models.text import load_text_encoder
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.commands import robot_commands
from vptrain.rollout.evaluate import ActionErrors, WindowPrediction, predict_windows
from vptrain.rollout.render import write_strip, write_video
from vptrain.rollout.windows import convertible, spread_windows

RESULT = "predictions.json"


def predict_held_out(
    checkpoint: Checkpoint,
    mixture: Mixture,
    out: Path,
    *,
    sampling: SamplingConfig,
    num_videos: int,
    num_windows: int,
    seed: int,
    device: str,
    report: Callable[[int], None],
    text_location: str | None = None,
) -> dict[str, Any]:
    """Writes `out/predictions.json`, and an mp4 and a PNG for each shown window; returns what the JSON holds.

    Args:
        checkpoint: of stage 1 (video alone), or of stage 2 or joint training (video and actions).
        mixture: whose held-out clips to predict.
        out: a folder that is empty or does not exist.
        sampling: how to sample.
        num_videos: at most how many windows to show, but none that begins so near its episode's end that no other
            frame follows.
        num_windows: at most how many labelled windows to measure action errors on.
        seed: of the sampler's noise.
        device: to run on.
        report: called with the number of windows predicted since the last call.
        text_location: folder or Hub repository of the text encoder, for models that have one.

    Raises:
        VptrainError: no held-out clip to show, or a folder that is not empty.
        VpdataError: the folder cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "the folder is not empty." if out.is_dir() else "this is not a folder."
        raise VptrainError(what, path=out, hint="Choose another --out.")
    clips = mixture.held_out_clips()
    if not clips:
        raise VptrainError("the mixture holds no episode out.", hint="Make it with `vpdata mix --holdout 0.1`.")
    usable = [_as_video(placed, checkpoint) for placed in clips]
    videos = [w for w in spread_windows(usable, checkpoint.model, count=num_videos) if w.frame_mask[1:].any()]
    if not videos:
        raise VptrainError("no held-out clip is long enough to predict.", hint="Hold more out: `vpdata mix --holdout`.")
    policy = checkpoint.load_policy().to(device).eval()
    normalizer = checkpoint.normalizer if checkpoint.run.stage != "stage1" else None

    def run(windows: Sequence[Window], *, with_video: bool) -> list[WindowPrediction]:
        predictions = []
        for prediction in predict_windows(
            policy,
            windows,
            text=text,
            sampling=sampling,
            seed=seed,
            normalizer=normalizer,
            with_video=with_video,
        ):
            predictions.append(prediction)
            report(1)
        return predictions

    text = load_text_encoder(checkpoint.model.text, location=text_location)
    with _new_folder(out):
        shown = run(videos, with_video=True)
        errors = None
        if normalizer is not None:
            labelled = [placed for placed in usable if placed.labelled]
            measured = run(spread_windows(labelled, checkpoint.model, count=num_windows), with_video=False)
            errors = ActionErrors.of(measured, normalizer)
        fps = {(placed.source, placed.clip.key): placed.clip.episode.fps / checkpoint.model.stride for placed in clips}
        result = {
            "checkpoint": str(checkpoint.path),
            "step": checkpoint.step,
            "sampling": asdict(sampling),
            "seed": seed,
            "video": _video_summary(shown),
            "actions": None if errors is None else errors.to_json(),
            "clips": [
                _show(p, i, out, fps=fps[p.window.source, p.window.key], normalizer=normalizer)
                for i, p in enumerate(shown)
            ],
        }
        partial = out / f".{RESULT}.partial"
        partial.write_text(json.dumps(result, indent=2) + "\n")
        partial.replace(out / RESULT)
        return result


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    """Makes an empty folder; what was written into it goes again where the work ends early."""
    with full_disk_as_error(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            yield
        except BaseException:
            for file in out.iterdir():
                file.unlink()
            raise


def _as_video(placed: PlacedClip, checkpoint: Checkpoint) -> PlacedClip:
    """The clip without its labels where the model cannot predict its actions."""
    return placed if convertible(placed, checkpoint.model) else placed._replace(labelled=False)


def _video_summary(predictions: Sequence[WindowPrediction]) -> dict[str, Any]:
    values = np.array([prediction.psnr() for prediction in predictions])
    psnr, baseline = values.mean(axis=0).tolist()
    return {"num_windows": len(predictions), "psnr": psnr, "baseline_psnr": baseline}


def _commands(predicted: NDArray[np.float64], normalizer: ActionNormalizer, space: str) -> dict[str, Any] | None:
    """The predicted actions as the recorded robot would be sent them; None where they do not say all that it needs."""
    if not spaces.can_convert(normalizer.space, space):
        return None
    commands = robot_commands(predicted, normalizer=normalizer, space=space)
    return {"space": space, "names": list(spaces.load(space).names), "commands": commands.tolist()}


def _show(
    prediction: WindowPrediction, number: int, out: Path, *, fps: float, normalizer: ActionNormalizer | None
) -> dict[str, Any]:
    window, stem = prediction.window, f"{number:03d}"
    write_video(prediction, out / f"{stem}.mp4", fps=fps)
    write_strip(prediction, out / f"{stem}.png")
    psnr, baseline = prediction.psnr()
    actions = None
    if normalizer is not None and prediction.actions is not None and window.actions is not None:
        own = str(window.action_space)
        actions = {
            "predicted": normalizer.restore(prediction.actions).tolist(),
            "recorded": spaces.convert(window.actions, own, normalizer.space).tolist(),
            "mask": window.action_mask.tolist(),
            "names": list(spaces.load(normalizer.space).names),
            "robot": _commands(prediction.actions, normalizer, own),
        }
    return {
        "source": window.source,
        "key": window.key,
        "start": window.start,
        "instruction": window.instruction,
        "cameras": list(window.frames),
        "psnr": psnr,
        "baseline_psnr": baseline,
        "video": f"{stem}.mp4",
        "strip": f"{stem}.png",
        "actions": actions,
    }
