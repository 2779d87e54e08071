"""Kept spans of videos in, those that show what others show out: dropped as duplicates, or as leaks of an evaluation.

Candidates come from the measured hashes. The frames of candidates, and of no others, are decoded again to be compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpdata.curation.copies import Recordings, find_copies
from vpdata.curation.duplicates import PERIOD_SECONDS, HashSequences
from vpdata.curation.footage import MIN_SCORE, Footage, small
from vpdata.curation.measure import greys, hashed_frames
from vpdata.curation.measurements import Measurements
from vpdata.curation.record import CuratedFile
from vpdata.curation.spans import DroppedSpan, KeptSpan, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A kept span: the file's number in the curation, where the video lies, and when each of its frames is shown."""

    file: int
    path: Path
    span: KeptSpan
    hashes: NDArray[np.uint64]
    first_frame: int
    seconds: NDArray[np.float64]

    def footage(self) -> Footage:
        """Its frames from the first that is hashed on, small; the hash before is at 0 seconds."""
        frames = [small(grey[None])[0] for grey in greys(self.path, start=self.first_frame, stop=self.span.stop)]
        return Footage(grey=np.stack(frames), seconds=self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRecordings:
    """The kept spans of a curation as recordings that can be compared."""

    parts: tuple[Part, ...]
    hashes: HashSequences
    contents: tuple[str, ...]

    def content(self, i: int) -> str:
        """The SHA-256 of the video and the span."""
        return self.contents[i]

    def footage(self, i: int) -> Footage:
        """All frames of span i, small."""
        return self.parts[i].footage()


def kept_recordings(
    files: Sequence[CuratedFile], paths: Mapping[str, Path], measurements: Mapping[str, Path]
) -> KeptRecordings:
    """The kept spans of files.

    Args:
        files: what was decided.
        paths: SHA-256 -> where the video lies.
        measurements: SHA-256 -> where its measurements lie.
    """
    parts, contents = [], []
    for number, file in enumerate(files):
        if not file.kept:
            continue
        measured = Measurements.read(measurements[file.sha256])
        frames = hashed_frames(measured.seconds, end_seconds=measured.boundaries[-1])
        for span in file.kept:
            ticks = np.flatnonzero((frames >= span.start) & (frames < span.stop))
            if not len(ticks):
                continue
            first = int(frames[ticks[0]])
            parts.append(
                Part(
                    file=number,
                    path=paths[file.sha256],
                    span=span,
                    hashes=np.array([measured.hashes[frame] for frame in frames[ticks].tolist()], np.uint64),
                    first_frame=first,
                    seconds=measured.seconds[first : span.stop] - ticks[0] * PERIOD_SECONDS,
                )
            )
            contents.append(f"{file.sha256}:{span.start}-{span.stop}")
    hashes = HashSequences.of([part.hashes for part in parts])
    return KeptRecordings(parts=tuple(parts), hashes=hashes, contents=tuple(contents))


def drop_leaks(files: Sequence[CuratedFile], kept: KeptRecordings, against: Recordings) -> tuple[CuratedFile, ...]:
    """The files less the spans that show what a recording of `against` shows."""
    scores: dict[int, float] = {}
    for copy in find_copies(kept, against=against).copies:
        scores[copy.first] = max(copy.score, scores.get(copy.first, 0.0))
    detail = "shows what an evaluation set shows"
    return _without(files, kept, {part: (score, detail) for part, score in scores.items()}, reason="leak")


def drop_duplicates(files: Sequence[CuratedFile], kept: KeptRecordings) -> tuple[CuratedFile, ...]:
    """The files less the spans that show what another one shows: of two the shorter goes, of two as long the later."""
    partners: dict[int, list[tuple[int, float]]] = {}
    for copy in find_copies(kept).copies:
        partners.setdefault(copy.first, []).append((copy.second, copy.score))
        partners.setdefault(copy.second, []).append((copy.first, copy.score))
    dropped: dict[int, tuple[float, str]] = {}
    chosen: set[int] = set()
    for part in sorted(partners, key=lambda i: (kept.parts[i].span.start_seconds - kept.parts[i].span.stop_seconds, i)):
        same = [(score, other) for other, score in partners[part] if other in chosen]
        if same:
            score, other = max(same, key=lambda pair: (pair[0], -pair[1]))
            span = kept.parts[other].span
            dropped[part] = (score, f"shows {files[kept.parts[other].file].file} [{span.start}, {span.stop})")
        else:
            chosen.add(part)
    return _without(files, kept, dropped, reason="duplicate")


def _without(
    files: Sequence[CuratedFile], kept: KeptRecordings, dropped: Mapping[int, tuple[float, str]], *, reason: Reason
) -> tuple[CuratedFile, ...]:
    changed = list(files)
    for number, (score, detail) in dropped.items():
        part = kept.parts[number]
        file, span = changed[part.file], part.span
        gone = DroppedSpan(
            start=span.start,
            stop=span.stop,
            start_seconds=span.start_seconds,
            stop_seconds=span.stop_seconds,
            reason=reason,
            measured=score,
            threshold=MIN_SCORE,
            detail=detail,
        )
        changed[part.file] = replace(
            file,
            kept=tuple(other for other in file.kept if other != span),
            dropped=tuple(sorted((*file.dropped, gone), key=lambda other: other.start)),
        )
    return tuple(changed)
