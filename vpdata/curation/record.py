"""The result of curation, in memory and as `curation.json`: thresholds, versions, and every video's spans."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from vpdata.curation.spans import DroppedSpan, KeptSpan
from vpdata.curation.thresholds import Thresholds
from vpdata.errors import VpdataError

CURATION_NAME: Final = "curation.json"
CURATION_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CuratedFile:
    """One video.

    Attributes:
        file: posix path under its SRC argument.
        sha256: of its bytes, in hex.
        height, width: pixels, upright; like all that follows 0 or empty where it cannot be read.
        num_frames: as decoded, not as resampled to a rate.
        fps: frames a second.
        duration_seconds: until the last frame ends.
        cuts: first frames of scenes, frame 0 left out.
        kept, dropped: each frame is in exactly one of these spans.
    """

    file: str
    sha256: str
    height: int = 0
    width: int = 0
    num_frames: int = 0
    fps: float = 0.0
    duration_seconds: float = 0.0
    cuts: tuple[int, ...] = ()
    kept: tuple[KeptSpan, ...] = ()
    dropped: tuple[DroppedSpan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Curation:
    """What was decided about some videos. It holds no times, host names or absolute paths.

    Attributes:
        duplicates: whether spans that show what others show were looked for.
        against: digests of the data sets whose recordings no span was to show.
    """

    version: int
    tool_versions: Mapping[str, str]
    thresholds: Thresholds
    duplicates: bool
    against: tuple[str, ...]
    files: tuple[CuratedFile, ...]

    def kept_spans(self) -> dict[tuple[str, str], tuple[tuple[int, int], ...]]:
        """(file, sha256) -> frames [start, stop) of each span to keep."""
        spans: dict[tuple[str, str], tuple[tuple[int, int], ...]] = {}
        for file in self.files:  # copies of one name, of several SRC arguments, come after the one that is kept
            spans.setdefault((file.file, file.sha256), tuple((span.start, span.stop) for span in file.kept))
        return spans

    @property
    def sha256(self) -> str:
        """Of `curation.json`, in hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The bytes of `curation.json`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises ValueError, KeyError or TypeError for anything else."""
        value = json.loads(data)
        files = tuple(
            CuratedFile(
                **{
                    **file,
                    "cuts": tuple(file["cuts"]),
                    "kept": tuple(KeptSpan(**span) for span in file["kept"]),
                    "dropped": tuple(DroppedSpan(**span) for span in file["dropped"]),
                }
            )
            for file in value["files"]
        )
        return cls(
            version=value["version"],
            tool_versions=value["tool_versions"],
            thresholds=Thresholds(**value["thresholds"]),
            duplicates=value["duplicates"],
            against=tuple(value["against"]),
            files=files,
        )

    def for_manifest(self) -> dict[str, Any]:
        """What the manifest of a data set made with this curation says of it."""
        dropped = [
            {"file": file.file, "sha256": file.sha256, **asdict(span)} for file in self.files for span in file.dropped
        ]
        for span in dropped:
            del span["thumbnail"]  # it lies in the curation folder
        return {
            "sha256": self.sha256,
            "tool_versions": dict(self.tool_versions),
            "thresholds": asdict(self.thresholds),
            "duplicates": self.duplicates,
            "against": list(self.against),
            "dropped": dropped,
        }


def read_curation(folder: Path) -> Curation:
    """What `vpdata curate` decided.

    Raises:
        VpdataError: there is no curation in the folder, or one that is damaged or of another version.
    """
    path = folder / CURATION_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"there is no finished curation here ({error.strerror})."
        raise VpdataError(what, path=path, hint="Make one with `vpdata curate`.") from error
    try:
        curation = Curation.from_bytes(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VpdataError("the curation is damaged.", path=path, hint="Run `vpdata curate` again.") from error
    if curation.version != CURATION_VERSION:
        what = f"version {curation.version}, but this vpdata reads version {CURATION_VERSION}."
        raise VpdataError(what, path=path, hint="Run `vpdata curate` again.")
    return curation
