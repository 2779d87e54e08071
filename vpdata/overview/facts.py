"""The records of an overview. `to_json` turns them into what `--json` prints; pictures stay out of that."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vpdata.curation.findings import FoundPair
from vpdata.curation.spans import DroppedSpan
from vpdata.curation.thresholds import Thresholds
from vpdata.shards.manifest import Dropped, Skipped

NUM_BINS = 24
MOST_FREQUENT = 20
"""Texts that are listed where there may be very many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Of `count` numbers; `counts[i]` of them lie in [edges[i], edges[i + 1]), in the last bin the end included."""

    count: int
    min: float
    p10: float
    median: float
    p90: float
    max: float
    mean: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: NDArray[np.floating[Any]], *, limits: tuple[float, float] | None = None) -> Self:
        """The distribution of (N,) values, N >= 1.

        Args:
            values: in any order.
            limits: what the bins span, if not the values; equal limits make one bin without width.
        """
        low, p10, median, p90, high = np.percentile(values, [0, 10, 50, 90, 100]).tolist()
        first, last = limits or (low, high)
        edges = np.linspace(first, last, NUM_BINS + 1) if first < last else np.array([first, last])
        counts = np.histogram(values, edges)[0] if first < last else np.array([len(values)])
        return cls(
            count=len(values),
            min=low,
            p10=p10,
            median=median,
            p90=p90,
            max=high,
            mean=float(np.mean(values)),
            edges=tuple(edges.tolist()),
            counts=tuple(counts.tolist()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often a text (an instruction, a word, a frame rate) is there."""

    text: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFacts:
    """A part of a data set (one task, one source): episodes, clips, frames of each camera as stored."""

    name: str
    num_episodes: int
    num_clips: int
    num_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFacts:
    """A camera of one size in pixels, as stored, and the clips that have it."""

    name: str
    height: int
    width: int
    num_clips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageFacts:
    """The instructions of a data set's episodes.

    Attributes:
        num_episodes: episodes with an instruction.
        num_instructions: distinct ones.
        instructions: the most frequent, counted by episodes.
        num_words: distinct words, in lower case.
        words: the most frequent, counted by episodes times how often their instructions say them.
        instruction_words: words of the distinct instructions, None where there are none.
    """

    num_episodes: int
    num_instructions: int
    instructions: tuple[Tally, ...]
    num_words: int
    words: tuple[Tally, ...]
    instruction_words: Distribution | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionFacts:
    """One dimension of a space: what the rows hold, and what the space permits (None: no limit).

    Attributes:
        constant: all rows hold the same value.
        outside: rows exceed what the space permits.
    """

    name: str
    unit: str
    min: float
    max: float
    mean: float
    std: float
    low: float | None
    high: float | None
    constant: bool
    outside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFacts:
    """An action or state space of a data set: statistics over `num_rows` rows."""

    name: str
    kind: Literal["action", "state"]
    num_rows: int
    dimensions: tuple[DimensionFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What was measured of windows of consecutive frames, on a copy of at most 128 pixels a side.

    Attributes:
        luma: mean luma of a window, 0 to 255.
        motion: mean absolute change of the luma from frame to frame; None where no window has two frames.
        sharpness: variance of the Laplacian.
    """

    luma: Distribution
    motion: Distribution | None
    sharpness: Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraLooks:
    """The looks of one camera."""

    camera: str
    looks: Looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A window with a picture near its first frame (JPEG, empty without): `what` is extreme in it, at `value`."""

    what: str
    value: float
    key: str
    camera: str
    frame: int
    picture: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """What windows look like.

    Attributes:
        method: `sampled` if a random sample was decoded, `measured` if curation had measured every frame.
        num_windows: of each camera.
        window_frames: consecutive frames of a window at most.
        seed: of the sample, None where there is none.
        examples: the extremes; `key` is the clip's, or the file's where curation had measured.
    """

    method: Literal["sampled", "measured"]
    num_windows: int
    window_frames: int
    seed: int | None
    cameras: tuple[CameraLooks, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonFacts:
    """What was dropped for one reason: spans, files that they are of, and seconds."""

    reason: str
    num_spans: int
    num_files: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """A data set.

    Attributes:
        place: folder or URL.
        digest: hex SHA-256 of its manifest.
        num_frames: of each camera, as stored.
        seconds, labelled_seconds: of all frames, and of those followed by an action; what clips share counts once.
        skipped, dropped: what the ingest left out, and what repairs took out.
        episode_seconds: lengths of episodes, as far as they are there.
        clip_seconds: lengths of clips, as stored.
        fps: frame rates, counted by episodes.
        curation: what the curations dropped that the data set was made with.
        footage: what its windows look like, None where nothing was measured.
    """

    place: str
    digest: str
    num_shards: int
    num_bytes: int
    num_episodes: int
    num_clips: int
    num_labelled_clips: int
    num_frames: int
    seconds: float
    labelled_seconds: float
    skipped: tuple[Skipped, ...]
    dropped: tuple[Dropped, ...]
    codecs: tuple[str, ...]
    sources: tuple[PartFacts, ...]
    tasks: tuple[PartFacts, ...]
    cameras: tuple[CameraFacts, ...]
    fps: tuple[Tally, ...]
    episode_seconds: Distribution
    clip_seconds: Distribution
    language: LanguageFacts
    spaces: tuple[SpaceFacts, ...]
    curation: tuple[ReasonFacts, ...]
    footage: Footage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedFacts:
    """A span that curation dropped, as in `curation.json`, with its file."""

    file: str
    span: DroppedSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationFacts:
    """A curation folder.

    Attributes:
        place: the folder.
        digest: hex SHA-256 of its `curation.json`.
        num_files, seconds: of the videos that came in, those that cannot be read among the files.
        num_cuts: scene cuts.
        num_kept, kept_seconds: spans that are kept.
        file_seconds, span_seconds: lengths of the videos, and of the kept spans; None where there are none.
        fps, sizes: of the videos, counted by files.
        reasons: what was dropped, the most seconds first.
        kept_looks, dropped_looks: of all windows in kept and in dropped spans, binned alike.
        dropped: every dropped span.
    """

    place: str
    digest: str
    tool_versions: Mapping[str, str]
    thresholds: Thresholds
    num_files: int
    seconds: float
    num_cuts: int
    num_kept: int
    kept_seconds: float
    file_seconds: Distribution | None
    span_seconds: Distribution | None
    fps: tuple[Tally, ...]
    sizes: tuple[Tally, ...]
    reasons: tuple[ReasonFacts, ...]
    kept_looks: Looks | None
    dropped_looks: Looks | None
    dropped: tuple[DroppedFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFacts:
    """Of one data set: pairs that it is in, and its episodes in them; whether it is there to evaluate on."""

    name: str
    is_evaluation: bool
    num_pairs: int
    num_episodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    """Two recordings that show the same moments, and a JPEG of one of these from each; empty where there are many."""

    pair: FoundPair
    first_picture: bytes
    second_picture: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateFacts:
    """A search for duplicates.

    Attributes:
        place: the file that it was read from.
        num_recordings, num_compared: that were searched, and pairs whose frames were compared.
        against: names of what there is to evaluate on: every pair is a leak; empty for pairs within the data sets.
        sets: every data set that was searched.
        pairs: the most alike first.
    """

    place: str
    num_recordings: int
    num_compared: int
    against: tuple[str, ...]
    sets: tuple[SharedFacts, ...]
    pairs: tuple[PairFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Data sets, curations and searches for duplicates, in the order given."""

    tool_version: str
    datasets: tuple[DatasetFacts, ...]
    curations: tuple[CurationFacts, ...]
    duplicates: tuple[DuplicateFacts, ...] = ()


def to_json(record: Overview) -> dict[str, Any]:
    """The JSON object that `vpdata stats --json` prints; pictures are left out."""
    return asdict(record, dict_factory=_without_pictures)


def _without_pictures(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if not isinstance(value, bytes)}
