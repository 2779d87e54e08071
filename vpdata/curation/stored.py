"""Data sets in, their recordings (an episode seen by one camera) with hashes and small frames out.

Hashes are made once a data set, by decoding two frames a second, and kept in the user's cache under its digest.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vpdata.curation.duplicates import PERIOD_SECONDS, HashSequences
from vpdata.curation.footage import SIZE, Footage, small
from vpdata.curation.phash import FLAT, VERSION, phash_many
from vpdata.schema import Clip
from vpdata.shards.cache import Cache, hashes_name
from vpdata.shards.dataset import Dataset

_CHUNK: Final = 64  # frames decoded at once
_LUMA: Final = np.array([77, 150, 29], np.uint16)  # BT.601, in 256ths

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecording:
    """An episode of a data set, seen by one camera.

    Attributes:
        dataset: which holds it.
        name: of the data set, as the user knows it.
        camera: of the episode.
        clips: the episode's places in the index, in the order of time.
    """

    dataset: Dataset
    name: str
    camera: str
    clips: tuple[int, ...]

    @property
    def first_clip(self) -> Clip:
        """The clip that begins it, and describes the episode."""
        return self.dataset.index.clip(self.clips[0])

    def hashes(self) -> NDArray[np.uint64]:
        """(K,): one every PERIOD_SECONDS of the episode, FLAT where its clips have no such frame."""
        episode = self.first_clip.episode
        num_hashes = int(np.ceil(episode.num_frames / episode.fps / PERIOD_SECONDS))
        wanted = np.rint(np.arange(num_hashes) * PERIOD_SECONDS * episode.fps).astype(np.int64)
        wanted = np.minimum(wanted, episode.num_frames - 1)
        hashes = np.full(num_hashes, FLAT, np.uint64)
        for places, grey in self._grey(wanted):
            hashes[places] = phash_many(grey)
        return hashes

    def footage(self) -> Footage:
        """Every frame that its clips have, small."""
        episode = self.first_clip.episode
        frames = np.zeros((episode.num_frames, SIZE, SIZE), np.uint8)
        is_there = np.zeros(episode.num_frames, np.bool_)
        for places, grey in self._grey(np.arange(episode.num_frames)):
            frames[places] = small(grey)
            is_there[places] = True
        return Footage(grey=frames[is_there], seconds=np.flatnonzero(is_there) / episode.fps)

    def _grey(self, wanted: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
        """Which of the wanted frames of the episode (ascending), and those as grey frames, a few at a time."""
        clips = [self.dataset.index.clip(place) for place in self.clips]
        owners = np.searchsorted([clip.span.start for clip in clips], wanted, side="right") - 1
        for number, clip in enumerate(clips):
            places = np.flatnonzero((owners == number) & (wanted < clip.span.stop))
            for begin in range(0, len(places), _CHUNK):
                some = places[begin : begin + _CHUNK]
                rgb = self.dataset.frames(clip, self.camera, (wanted[some] - clip.span.start).tolist())
                yield some, (rgb @ _LUMA >> 8).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecordings:
    """Recordings of any number of data sets, with their hashes."""

    recordings: tuple[StoredRecording, ...]
    hashes: HashSequences

    def content(self, i: int) -> str:
        """The content digest of the episode."""
        return self.recordings[i].first_clip.episode.content_digest

    def footage(self, i: int) -> Footage:
        """All frames of recording i, small."""
        return self.recordings[i].footage()


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A data set and which of its clips count.

    Attributes:
        name: as the user knows the data set.
        dataset: the data set.
        clips: (N,) bool; None: all.
    """

    name: str
    dataset: Dataset
    clips: NDArray[np.bool_] | None = None

    @cached_property
    def recordings(self) -> tuple[StoredRecording, ...]:
        """Of all episodes of the data set, chosen or not, each camera in turn."""
        index = self.dataset.index
        files, ids = index.codes("file"), index.codes("episode_id")
        starts = index.numbers("start_frame")
        order = np.lexsort((starts, ids.codes, files.codes))
        if not len(order):
            return ()
        changes = (np.diff(files.codes[order]) != 0) | (np.diff(ids.codes[order]) != 0)
        episodes = [tuple(rows.tolist()) for rows in np.split(order, np.flatnonzero(changes) + 1)]
        return tuple(
            StoredRecording(dataset=self.dataset, name=self.name, camera=camera.name, clips=rows)
            for rows in episodes
            for camera in index.clip(rows[0]).episode.cameras
        )

    def is_chosen(self, recording: StoredRecording) -> bool:
        """Whether a clip of its episode counts."""
        return self.clips is None or bool(self.clips[list(recording.clips)].any())


def stored_recordings(sets: Iterable[Chosen], *, progress: Progress = lambda _: None) -> StoredRecordings:
    """The chosen recordings of data sets; hashes that are not in the user's cache are made, and kept there.

    Args:
        sets: data sets and which of their clips count.
        progress: called with a number of recordings whenever they are done.

    Raises:
        ShardError: a clip is damaged, or the cache cannot be written.
    """
    recordings: list[StoredRecording] = []
    hashes: list[NDArray[np.uint64]] = []
    for chosen in sets:
        for recording, found in zip(chosen.recordings, _hashes_of(chosen, progress), strict=True):
            if chosen.is_chosen(recording):
                recordings.append(recording)
                hashes.append(found)
    return StoredRecordings(recordings=tuple(recordings), hashes=HashSequences.of(hashes))


def _hashes_of(chosen: Chosen, progress: Progress) -> list[NDArray[np.uint64]]:
    cache, name = Cache.default(), hashes_name(chosen.dataset.digest, version=VERSION)
    kept = cache.read(name)
    if kept is not None:
        with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
            hashes, bounds = arrays["hashes"], arrays["bounds"]
        progress(len(bounds) - 1)
        return np.split(hashes, bounds[1:-1])
    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for made in pool.map(StoredRecording.hashes, chosen.recordings):
            found.append(made)
            progress(1)
    sequences = HashSequences.of(found)
    data = io.BytesIO()
    np.savez(data, hashes=sequences.hashes, bounds=sequences.bounds)
    cache.put(name, data.getvalue())
    return found
