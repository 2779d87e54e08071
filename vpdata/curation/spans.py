"""The words of curation: a span of a video that is kept, or dropped for a reason."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["unreadable", "duplicate", "leak", "small", "black", "frozen", "static", "blurry", "short"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSpan:
    """Frames [start, stop) of a video, of one scene, and when they are shown."""

    start: int
    stop: int
    start_seconds: float
    stop_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedSpan:
    """Frames [start, stop) of a video that are not kept, and why.

    Attributes:
        start, stop: 0 and 0 for a video that cannot be read.
        reason: of several that hold, the first in the order of `Reason`.
        measured, threshold: of a span the value that decided and what it was compared with; None where there is none.
        detail: what else there is to say, for people.
        thumbnail: path under the curation folder of a picture of the span, or of the last one before that has one.
    """

    start: int
    stop: int
    start_seconds: float
    stop_seconds: float
    reason: Reason
    measured: float | None = None
    threshold: float | None = None
    detail: str = ""
    thumbnail: str = ""
