"""Clips sampled while a run goes: held-out windows in; scores, a picture and an mp4 of their predictions out."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vpdata.loader.window import Window
from vptrain.config import RunConfig
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.evaluate import ActionErrors, WindowPrediction, predict_windows
from vptrain.rollout.render import strips, write_videos
from vptrain.training.quality import Quality, videos
from vptrain.training.watch import Watch

FOLDER = "samples"
NUM_SHOWN = 4
FPS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What to predict while a run goes: the same windows with the same noise each time.

    Stage 1 predicts video, stage 2 actions (its video UNet stays as it is), joint training both.
    """

    every: int
    shown: Sequence[Window]
    others: Sequence[Window]
    normalizer: ActionNormalizer | None
    quality: Quality

    def predict(self, policy: VideoPolicy, text: CachedText) -> list[WindowPrediction]:
        """The video of those shown, and the actions of all where the stage trains them."""
        return [
            prediction
            for windows, with_video in ((self.shown, True), (self.others, False))
            for prediction in predict_windows(
                policy,
                windows,
                text=text,
                sampling=policy.config.sampling,
                seed=0,
                normalizer=self.normalizer,
                with_video=with_video,
            )
        ]

    def record(self, predictions: Sequence[WindowPrediction], *, watch: Watch, folder: Path, step: int) -> None:
        """Scores them, and writes metrics, RUN/samples/step-N.mp4 and pictures."""
        scores: dict[str, Any] = {}
        shown = [prediction for prediction in predictions if prediction.frames is not None]
        if pairs := videos(shown):
            scores |= {name: value for name, value in asdict(self.quality.score(pairs)).items() if value is not None}
            repeated = self.quality.score([(recorded[:1].repeat(len(recorded), 0), recorded) for _, recorded in pairs])
            scores["baseline_psnr"] = repeated.psnr
        errors = None if self.normalizer is None else ActionErrors.of(predictions, self.normalizer)
        if errors is not None:
            scores |= {
                "action_error": errors.error,
                "baseline_action_error": errors.baseline_error,
                "action_error_by_dimension": {name: error for name, error, _ in errors.dimensions},
            }
        watch.append(step=step, samples=scores)
        if shown:
            (folder / FOLDER).mkdir(exist_ok=True)
            video = folder / FOLDER / f"step-{step:08d}.mp4"
            write_videos(shown, video, fps=FPS)
            watch.show(FOLDER, strips(shown), step=step, video=video)


def make_samples(
    run: RunConfig, windows: Sequence[Window], normalizer: ActionNormalizer | None, *, say: Callable[[str], None]
) -> Samples | None:
    """The samples of a run; None where it wants none or no window is held out. Says which scores cannot be given."""
    if run.sample_every is None or not windows:
        return None
    count = min(NUM_SHOWN, len(windows)) if run.stage != "stage2" else 0
    places = [len(windows) * (2 * i + 1) // (2 * count) for i in range(count)]
    quality = Quality.load()
    for reason in quality.missing if count else ():
        say(reason)
    return Samples(
        every=run.sample_every,
        shown=[windows[place] for place in places],
        others=[] if run.stage == "stage1" else [w for place, w in enumerate(windows) if place not in places],
        normalizer=None if run.stage == "stage1" else normalizer,
        quality=quality,
    )
