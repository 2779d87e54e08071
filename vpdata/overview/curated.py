"""A curation folder in, what came in and what was dropped out; and the looks of the data sets made with it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from vpdata.curation.curate import measurements_path
from vpdata.curation.measurements import Measurements
from vpdata.curation.record import CuratedFile, read_curation
from vpdata.curation.spans import DroppedSpan, KeptSpan
from vpdata.overview.facts import CurationFacts, Distribution, DroppedFacts, Footage, ReasonFacts, Tally
from vpdata.overview.looks import WINDOW_FRAMES, View, Windows, describe_looks, describe_sample, join, windows_of
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import Input, Manifest

Spans = Sequence[KeptSpan] | Sequence[DroppedSpan]

OPTION: Final = "curation"
"""What an ingest with a curation calls it among its manifest's options."""


class Curated:
    """A curation and its measurements."""

    def __init__(self, folder: Path) -> None:
        """Reads `curation.json`. Raises VpdataError where it is missing or damaged."""
        self.folder = folder
        self.curation = read_curation(folder)

    def describe(self) -> CurationFacts:
        """What came in, what was dropped, and how either looks. Raises VpdataError for damaged measurements."""
        files = self.curation.files
        readable = [file for file in files if file.num_frames]
        kept = [span for file in files for span in file.kept]
        dropped = tuple(DroppedFacts(file=file.file, span=span) for file in files for span in file.dropped)
        kept_windows, dropped_windows = list[Windows](), list[Windows]()
        for file in readable:
            measurements = self._measurements(file)
            kept_windows += _windows(measurements, file.kept)
            dropped_windows += _windows(measurements, file.dropped)
        every = join(kept_windows + dropped_windows) if readable else None
        return CurationFacts(
            place=str(self.folder),
            digest=self.curation.sha256,
            tool_versions=dict(self.curation.tool_versions),
            thresholds=self.curation.thresholds,
            num_files=len(files),
            seconds=sum(file.duration_seconds for file in files),
            num_cuts=sum(len(file.cuts) for file in files),
            num_kept=len(kept),
            kept_seconds=sum(map(_seconds, kept)),
            file_seconds=_lengths([file.duration_seconds for file in readable]),
            span_seconds=_lengths([_seconds(span) for span in kept]),
            fps=_tally(f"{file.fps:.6g}" for file in readable),
            sizes=_tally(f"{file.height}×{file.width}" for file in readable),
            reasons=reasons((one.span.reason, one.file, _seconds(one.span)) for one in dropped),
            kept_looks=describe_looks(join(kept_windows), binned_with=every) if kept_windows else None,
            dropped_looks=describe_looks(join(dropped_windows), binned_with=every) if dropped_windows else None,
            dropped=dropped,
        )

    def footage(self, dataset: Dataset) -> Footage | None:
        """The looks of all windows of a data set, as they were before the ingest.

        Returns:
            None for a data set that holds anything else than spans that this curation kept.

        Raises:
            VpdataError: damaged measurements.
        """
        if self.curation.sha256 not in _recorded(dataset.manifest):
            return None
        held = _episodes(dataset)
        if not held <= {_episode(file, span) for file in self.curation.files for span in file.kept}:
            return None
        parts: list[Windows] = []
        places: list[tuple[CuratedFile, KeptSpan, int]] = []  # of every window
        for file in self.curation.files:
            spans = [span for span in file.kept if _episode(file, span) in held]
            parts += _windows(self._measurements(file), spans) if spans else ()
            places += [(file, span, i) for span in spans for i in range(span.start, span.stop, WINDOW_FRAMES)]

        def show(i: int) -> tuple[str, int, bytes]:
            file, span, frame = places[i]
            inside = [one for one in self._measurements(file).thumbnails if span.start <= one.frame < span.stop]
            nearest = min(inside, key=lambda one: abs(one.frame - frame), default=None)
            return file.file, frame, b"" if nearest is None else nearest.jpeg

        camera = dataset.index.clip(0).episode.cameras[0].name
        return describe_sample([View(camera=camera, windows=join(parts), show=show)], seed=None)

    def _measurements(self, file: CuratedFile) -> Measurements:
        return Measurements.read(measurements_path(self.folder, file.sha256))


def _windows(measurements: Measurements, spans: Spans) -> list[Windows]:
    """The windows of each span."""
    return [windows_of(measurements.columns, start=span.start, stop=span.stop) for span in spans]


def recorded_reasons(dataset: Dataset) -> tuple[ReasonFacts, ...]:
    """What the curations dropped that a data set, or those that it was made from, were made with; empty without."""
    return reasons(
        (span["reason"], span["file"], span["stop_seconds"] - span["start_seconds"])
        for curation in _recorded(dataset.manifest).values()
        for span in curation["dropped"]
    )


def reasons(dropped: Iterable[tuple[str, str, float]]) -> tuple[ReasonFacts, ...]:
    """Sums by reason, the most seconds first.

    Args:
        dropped: reason, file and seconds of every span.
    """
    files, seconds = defaultdict[str, set[str]](set), defaultdict[str, list[float]](list)
    for reason, file, length in dropped:
        files[reason].add(file)
        seconds[reason].append(length)
    found = [
        ReasonFacts(reason=reason, num_spans=len(all_), num_files=len(files[reason]), seconds=sum(all_))
        for reason, all_ in seconds.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.seconds, one.reason)))


def _recorded(made: Manifest | Input) -> dict[str, Mapping[str, Any]]:
    """SHA-256 -> what the manifest says of each curation that it knows, those of earlier data sets among them."""
    found = {} if OPTION not in made.options else {made.options[OPTION]["sha256"]: made.options[OPTION]}
    for one in () if made.operation is None else made.operation.inputs:
        found |= _recorded(one)
    return found


def _episodes(dataset: Dataset) -> set[tuple[str, str]]:
    """File and id of all episodes."""
    files, ids = dataset.index.codes("file"), dataset.index.codes("episode_id")
    pairs = np.unique(np.stack([files.codes, ids.codes]), axis=1).T.tolist()
    return {(files.values[file], ids.values[episode]) for file, episode in pairs}


def _episode(file: CuratedFile, span: KeptSpan) -> tuple[str, str]:
    """File and id of the episode that an ingest makes of a span."""
    return file.file, f"{PurePosixPath(file.file).stem}:{span.start}-{span.stop}"


def _seconds(span: KeptSpan | DroppedSpan) -> float:
    return span.stop_seconds - span.start_seconds


def _lengths(seconds: Sequence[float]) -> Distribution | None:
    return Distribution.of(np.array(seconds, np.float64)) if seconds else None


def _tally(texts: Iterable[str]) -> tuple[Tally, ...]:
    return tuple(Tally(text=text, count=count) for text, count in Counter(texts).most_common())
