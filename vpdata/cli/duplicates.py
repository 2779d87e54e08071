"""`vpdata duplicates`: which recordings of data sets show the same moments."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.curation.copies import find_copies
from vpdata.curation.duplicates import MAX_DISTANCE
from vpdata.curation.findings import Findings, FoundPair, FoundRecording, searched
from vpdata.curation.stored import Chosen, StoredRecording, StoredRecordings, stored_recordings
from vpdata.mixture.leaks import sides_of
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vpdata.shards.store import is_url

EPILOG = """
Recordings are hashed once a data set, which decodes two frames a second; the hashes stay in the cache.

Examples:

`vpdata duplicates data/footage`

`vpdata duplicates data/footage data/robocasa --json > duplicates.json`

`vpdata duplicates data/footage --against data/exam`

`vpdata duplicates data/footage --against manifests/drawer.toml`
"""


def duplicates(
    places: Annotated[list[str], typer.Argument(metavar="DIR...", help="Data sets: folders or URLs.")],
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR|FILE", help="Compare with this data set, or a mixture's held-out episodes, only."),
    ] = None,
    max_distance: Annotated[
        int, typer.Option(min=0, max=11, help="Bits of 64 in which hashes may differ for the frames to be compared.")
    ] = MAX_DISTANCE,
    as_json: output.JsonFlag = False,
) -> None:
    """Find recordings that show the same moments, also re-encoded, scaled, cropped or mirrored.

    Exit code 1 if there are any.
    """
    sets = [_whole(place) for place in places]
    evaluation = [some for place in against or () for some in held_out(place)]
    with output.progress_bar("hashing recordings", None) as advance:
        recordings = stored_recordings(sets, progress=advance)
        others = stored_recordings(evaluation, progress=advance) if evaluation else None
    with output.progress_bar("comparing frames", None) as advance:
        found = find_copies(recordings, against=others, max_distance=max_distance, progress=advance)
    pairs = (
        *_equal(recordings, others),
        *(
            _pair(
                recordings.recordings[copy.first],
                (others or recordings).recordings[copy.second],
                score=copy.score,
                offset_seconds=copy.offset_seconds,
                is_mirrored=copy.is_mirrored,
            )
            for copy in found.copies
        ),
    )
    if as_json:
        findings = Findings(
            sets=searched(sets),
            against=searched(evaluation),
            recordings=len(recordings.recordings),
            compared=found.num_compared,
            pairs=pairs,
        )
        output.print_json(findings.to_json())
    else:
        _render(pairs)
        output.say(f"{len(recordings.recordings)} recordings, {found.num_compared} pairs compared frame by frame.")
    if pairs:
        raise typer.Exit(1)


def _whole(place: str) -> Chosen:
    dataset = Dataset.open(place if is_url(place) else Path(place))
    return Chosen(name=place, dataset=dataset)


def held_out(place: str) -> list[Chosen]:
    """The recordings of a data set, or those that the mixture of a TOML file holds out."""
    if place.endswith(".toml"):
        return list(sides_of(Mixture.open(Path(place)), {}).evaluation)
    return [_whole(place)]


def _equal(recordings: StoredRecordings, others: StoredRecordings | None) -> Iterator[FoundPair]:
    """Pairs of episodes with one content digest under two names, the first camera of each."""
    by_content = defaultdict[str, list[StoredRecording]](list)
    for recording in _first_cameras(others or recordings):
        by_content[recording.first_clip.episode.content_digest].append(recording)
    for recording in _first_cameras(recordings):
        same = by_content[recording.first_clip.episode.content_digest]
        for other in same if others is not None else same[same.index(recording) + 1 :]:
            yield _pair(recording, other, score=1.0, offset_seconds=0.0, is_mirrored=False)


def _first_cameras(recordings: StoredRecordings) -> list[StoredRecording]:
    return [r for r in recordings.recordings if r.camera == r.first_clip.episode.cameras[0].name]


def _pair(
    first: StoredRecording, second: StoredRecording, *, score: float, offset_seconds: float, is_mirrored: bool
) -> FoundPair:
    return FoundPair(
        first=_where(first),
        second=_where(second),
        score=score,
        offset_seconds=offset_seconds,
        is_mirrored=is_mirrored,
    )


def _where(recording: StoredRecording) -> FoundRecording:
    episode = recording.first_clip.episode
    return FoundRecording(place=recording.name, file=episode.file, episode=episode.episode_id, camera=recording.camera)


def _render(pairs: Sequence[FoundPair]) -> None:
    output.print_table(
        [
            {
                "first": _text(pair.first),
                "second": _text(pair.second),
                "likeness": pair.score,
                "starts later by s": pair.offset_seconds,
                "mirrored": "yes" if pair.is_mirrored else "",
            }
            for pair in pairs
        ],
        title=f"{len(pairs)} pairs show the same moments",
    )


def _text(one: FoundRecording) -> str:
    return f"{one.place}:{one.file}::{one.episode} {one.camera}"
