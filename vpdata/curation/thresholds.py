"""What decides between kept and dropped: one readable TOML file in, `Thresholds` out."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

from vpdata.errors import VpdataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The values of the file; `DEFAULTS` says what each one means."""

    cut_ratio: float = 2.5
    cut_content: float = 5.0
    cut_window_frames: int = 2
    black_share: float = 0.98
    black_seconds: float = 0.1
    frozen_motion: float = 0.75
    frozen_seconds: float = 1.0
    static_motion: float = 1.5
    static_seconds: float = 3.0
    blurry_sharpness: float = 20.0
    blurry_seconds: float = 0.5
    small_pixels: int = 96
    short_seconds: float = 1.0

    @classmethod
    def read(cls, path: Path) -> Self:
        """The thresholds of a file; those that it leaves out have their defaults.

        Raises:
            VpdataError: the file is missing, no TOML, or has an unknown key or a value that is no number in range.
        """
        hint = "`vpdata curate --print-thresholds` prints a whole file."
        try:
            values = tomllib.loads(path.read_text())
        except OSError as error:
            raise VpdataError(f"cannot be read ({error.strerror}).", path=path, hint=hint) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise VpdataError(f"is no TOML: {error}.", path=path, hint=hint) from error
        kinds = {field.name: field.type for field in fields(cls)}
        for name, value in values.items():
            if name not in kinds:
                raise VpdataError(f"there is no threshold {name!r}.", path=path, hint=hint)
            allowed = (int,) if kinds[name] is int else (int, float)
            if isinstance(value, bool) or not isinstance(value, allowed) or not value >= 0:
                what = (
                    f"{name} = {value!r} is not a number from 0 on{' without a fraction' if allowed == (int,) else ''}."
                )
                raise VpdataError(what, path=path, hint=hint)
        if values.get("cut_window_frames") == 0:
            raise VpdataError("cut_window_frames = 0: at least one frame is compared.", path=path, hint=hint)
        return cls(**{name: kinds[name](value) for name, value in values.items()})  # type: ignore[operator]


DEFAULTS: Final = """\
# What `vpdata curate` keeps. Motion, sharpness and content are measured on a copy of at most 128 pixels a side.

# Scene cuts, by PySceneDetect's AdaptiveDetector: a frame begins a scene if its content score (mean change of
# the luma, 0 to 255, to the frame before) is at least `cut_content`, and at least `cut_ratio` times the mean score of
# the `cut_window_frames` frames on either side.
cut_ratio = 2.5
cut_content = 5.0
cut_window_frames = 2

# Black: at least this share of the pixels is dark (luma 32 of 255 or less), for at least so long.
black_share = 0.98
black_seconds = 0.1

# Frozen: the same picture again and again: nowhere (in none of 8 x 8 cells) does the luma change by more than this
# from frame to frame; four times that in a single frame, as key frames do. The first of the equal frames is kept.
frozen_motion = 0.75
frozen_seconds = 1.0

# Static: hardly any motion for a long time, measured the same way.
static_motion = 1.5
static_seconds = 3.0

# Blurry: the variance of the Laplacian is lower than this, for at least so long.
blurry_sharpness = 20.0
blurry_seconds = 0.5

# Too small: the shorter side of the video has fewer pixels.
small_pixels = 96

# Too short: what is left between cuts and dropped spans is shorter.
short_seconds = 1.0
"""
