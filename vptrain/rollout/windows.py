"""Clips in, evenly spread windows out; and which clips a model can act on."""

from collections.abc import Sequence

from vpdata import spaces
from vpdata.loader.window import Window, cut_window
from vpdata.mixture.mixture import PlacedClip
from vptrain.batch import window_spec
from vptrain.config import ModelConfig


def convertible(placed: PlacedClip, config: ModelConfig) -> bool:
    """Whether a clip has actions that the model can predict, and a camera that it knows to predict them from."""
    space = placed.clip.episode.action_space
    cameras = {camera.name for camera in placed.clip.episode.cameras}
    fits = space is not None and spaces.can_convert(space, config.action_space)
    return placed.labelled and fits and not cameras.isdisjoint(config.cameras)


def spread_windows(clips: Sequence[PlacedClip], config: ModelConfig, *, count: int) -> list[Window]:
    """At most `count` windows with evenly spaced starts: the same number of every clip.

    Of more than `count` clips, `count` evenly spaced ones give one window each.
    """
    if len(clips) > count:
        clips = [clips[len(clips) * (2 * i + 1) // (2 * count)] for i in range(count)]
    windows = []
    per_clip = count // max(1, len(clips))
    for placed in clips:
        starts = placed.clip.num_labelled_starts if placed.labelled else placed.clip.span.num_starts
        chosen = min(per_clip, starts)
        for i in range(chosen):
            start = starts * (2 * i + 1) // (2 * chosen)
            windows.append(
                cut_window(
                    placed.dataset,
                    placed.clip,
                    start,
                    window_spec(config),
                    labelled=placed.labelled,
                    source=placed.source,
                )
            )
    return windows
