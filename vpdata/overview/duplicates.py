"""What a search for duplicates found in; how much of which data sets is there twice, with pictures, out."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import simplejpeg

from vpdata.curation.findings import Findings, FoundPair, FoundRecording, SearchedSet, read_findings
from vpdata.curation.watch import THUMBNAIL_QUALITY
from vpdata.errors import VpdataError
from vpdata.overview.facts import DuplicateFacts, PairFacts, SharedFacts
from vpdata.overview.footage import small
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset

MAX_PAIRS: Final = 12
"""Pairs that get pictures, those that are most alike."""


def describe_duplicates(path: Path) -> DuplicateFacts:
    """What `vpdata duplicates --json` wrote to a file, the pairs that are most alike first.

    Raises:
        VpdataError: it is no such file, or a data set has changed since.
        ShardError: a data set is not where it was, or a clip is damaged.
    """
    findings = read_findings(path)
    firsts = _opened(findings.sets, path)
    seconds = _opened(findings.against, path) or firsts
    pairs = []
    for place, pair in enumerate(sorted(findings.pairs, key=lambda pair: -pair.score)):
        pictures = _pictures(pair, firsts, seconds) if place < MAX_PAIRS else (b"", b"")
        pairs.append(PairFacts(pair=pair, first_picture=pictures[0], second_picture=pictures[1]))
    return DuplicateFacts(
        place=str(path),
        num_recordings=findings.recordings,
        num_compared=findings.compared,
        against=tuple(one.name for one in findings.against),
        sets=tuple(_sets(findings)),
        pairs=tuple(pairs),
    )


def _opened(sets: Sequence[SearchedSet], path: Path) -> dict[str, Dataset]:
    """By name."""
    datasets = {one.name: Dataset.open(one.place) for one in sets}
    for one in sets:
        if datasets[one.name].digest != one.digest:
            hint = f"Write {path} anew with `vpdata duplicates … --json`."
            raise VpdataError("the data set has changed since it was searched.", path=one.place, hint=hint)
    return datasets


def _sets(findings: Findings) -> Iterator[SharedFacts]:
    """What of each data set is in pairs; those that pairs were looked for against, last."""
    num_pairs = Counter[tuple[str, bool]]()
    episodes = defaultdict[tuple[str, bool], set[tuple[str, str]]](set)
    for pair in findings.pairs:
        sides = ((pair.first.place, False), (pair.second.place, bool(findings.against)))
        num_pairs.update(set(sides))
        for side, recording in zip(sides, (pair.first, pair.second), strict=True):
            episodes[side].add((recording.file, recording.episode))
    for sets, is_evaluation in ((findings.sets, False), (findings.against, True)):
        for one in sets:
            key = (one.name, is_evaluation)
            yield SharedFacts(
                name=one.name, is_evaluation=is_evaluation, num_pairs=num_pairs[key], num_episodes=len(episodes[key])
            )


def _pictures(pair: FoundPair, firsts: Mapping[str, Dataset], seconds: Mapping[str, Dataset]) -> tuple[bytes, bytes]:
    """JPEGs of the same moment: the middle of what both show, as far as their clips have it."""
    first, second = _Seen.of(pair.first, firsts), _Seen.of(pair.second, seconds)
    begin = max(0.0, -pair.offset_seconds)
    stop = min(first.seconds, second.seconds - pair.offset_seconds)
    middle = (begin + stop) / 2
    return first.picture(middle), second.picture(middle + pair.offset_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A recording and the clips that it lies in."""

    dataset: Dataset
    camera: str
    clips: tuple[Clip, ...]

    @classmethod
    def of(cls, recording: FoundRecording, datasets: Mapping[str, Dataset]) -> Self:
        dataset = datasets[recording.place]
        files, ids = dataset.index.codes("file"), dataset.index.codes("episode_id")
        is_file = files.codes == files.values.index(recording.file)
        rows = np.flatnonzero(is_file & (ids.codes == ids.values.index(recording.episode)))
        return cls(dataset=dataset, camera=recording.camera, clips=tuple(dataset.index.clip(int(i)) for i in rows))

    @property
    def seconds(self) -> float:
        episode = self.clips[0].episode
        return episode.num_frames / episode.fps

    def picture(self, seconds: float) -> bytes:
        """The frame at that moment, or of another clip the one that is nearest to it."""
        frame = round(seconds * self.clips[0].episode.fps)
        places = [min(max(frame, clip.span.start), clip.span.stop - 1) for clip in self.clips]
        clip, place = min(zip(self.clips, places, strict=True), key=lambda one: abs(one[1] - frame))
        (picture,) = self.dataset.frames(clip, self.camera, [place - clip.span.start])
        jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(small(picture)), quality=THUMBNAIL_QUALITY)
        return jpeg
