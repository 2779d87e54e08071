"""A `Shot`: one video, or a stretch of one, that is to be an episode, and what is said about it."""

from dataclasses import dataclass, field
from pathlib import Path

from vpdata.errors import SourceError
from vpdata.sources.about import About
from vpdata.sources.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What a list, a tar or a table says is to be read.

    Attributes:
        place: of the video.
        file: posix path by which it is known.
        name: of the episode if the whole video is one.
        start_seconds, stop_seconds: the stretch, after the first frame; None: to the end.
        about: its instructions, task and attributes.
        listed_in, row: the list that asks for it, and where (`row 3`); None and empty where it was found by itself.
    """

    place: Place
    file: str
    name: str
    start_seconds: float = 0.0
    stop_seconds: float | None = None
    about: About = field(default_factory=About)
    listed_in: Path | None = None
    row: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether no stretch is asked for."""
        return self.start_seconds == 0 and self.stop_seconds is None

    def blamed(self, error: SourceError) -> SourceError:
        """The error as one of the row that asks for this."""
        if self.listed_in is None:
            return error
        return SourceError(error.what, path=self.listed_in, episode=f"{self.row}, {self.file}", hint=error.hint)
