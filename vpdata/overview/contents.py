"""A data set's manifest and index in, counts and lengths out; nothing is decoded and no shard is read."""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vpdata import spaces
from vpdata.errors import ShardError
from vpdata.overview.curated import recorded_reasons
from vpdata.overview.facts import (
    CameraFacts,
    DatasetFacts,
    DimensionFacts,
    Distribution,
    PartFacts,
    SpaceFacts,
    Tally,
)
from vpdata.overview.language import describe_language
from vpdata.shards.dataset import Dataset
from vpdata.shards.index import Index
from vpdata.stats import ArrayStatistics

Rows = NDArray[np.intp]


def describe(dataset: Dataset) -> DatasetFacts:
    """What a data set holds, without its looks.

    Raises:
        ShardError: it has no clips.
    """
    manifest, index = dataset.manifest, dataset.index
    if not len(index):
        raise ShardError("the data set has no clips.", path=dataset.place)
    _, episodes, clips = np.unique(index.codes("content_digest").codes, return_index=True, return_inverse=True)
    fps, num_starts = index.fps(), index.numbers("num_starts")
    clip_frames = index.numbers("stop_frame") - index.numbers("start_frame")
    seconds = np.bincount(clips, weights=num_starts) / fps[episodes]  # frames that two clips share count once
    labelled_starts = np.minimum(num_starts, index.numbers("num_actions"))
    return DatasetFacts(
        place=dataset.place,
        digest=dataset.digest,
        num_shards=len(manifest.shards),
        num_bytes=sum(shard.size for shard in manifest.shards),
        num_episodes=len(episodes),
        num_clips=len(index),
        num_labelled_clips=int(np.count_nonzero(index.numbers("num_actions"))),
        num_frames=int(clip_frames.sum()),
        seconds=float(seconds.sum()),
        labelled_seconds=float((labelled_starts / fps).sum()),
        skipped=manifest.skipped,
        dropped=manifest.dropped,
        codecs=tuple(sorted(index.codes("codec").values)),
        sources=_parts(index, "source", episodes, clip_frames),
        tasks=_parts(index, "task", episodes, clip_frames),
        cameras=_cameras(index),
        fps=_fps(fps[episodes]),
        episode_seconds=Distribution.of(seconds),
        clip_seconds=Distribution.of(clip_frames / fps),
        language=describe_language(_texts_by_count(index, episodes)),
        spaces=tuple(_space(name, found) for name, found in manifest.statistics.items()),
        curation=recorded_reasons(dataset),
    )


def _parts(index: Index, column: str, episodes: Rows, clip_frames: NDArray[np.int64]) -> tuple[PartFacts, ...]:
    """The parts of equal text in a column, the largest first."""
    codes, size = index.codes(column), len(index.codes(column).values)
    num_clips = np.bincount(codes.codes, minlength=size).tolist()
    num_episodes = np.bincount(codes.codes[episodes], minlength=size).tolist()
    num_frames = np.bincount(codes.codes, weights=clip_frames, minlength=size).astype(np.int64).tolist()
    parts = [
        PartFacts(name=name, num_episodes=num_episodes[i], num_clips=num_clips[i], num_frames=num_frames[i])
        for i, name in enumerate(codes.values)
    ]
    return tuple(sorted(parts, key=lambda part: (-part.num_frames, part.name)))


def _cameras(index: Index) -> tuple[CameraFacts, ...]:
    codes = index.codes("cameras")
    counts: dict[tuple[str, int, int], int] = {}
    for text, count in zip(codes.values, np.bincount(codes.codes, minlength=len(codes.values)).tolist(), strict=True):
        for camera in json.loads(text):
            described = (camera["name"], camera["height"], camera["width"])
            counts[described] = counts.get(described, 0) + count
    return tuple(
        CameraFacts(name=name, height=height, width=width, num_clips=count)
        for (name, height, width), count in sorted(counts.items())
    )


def _fps(fps: NDArray[np.float64]) -> tuple[Tally, ...]:
    values, counts = np.unique(fps, return_counts=True)
    return tuple(Tally(text=f"{v:.6g}", count=c) for v, c in zip(values.tolist(), counts.tolist(), strict=True))


def _texts_by_count(index: Index, episodes: Rows) -> list[tuple[Sequence[str], int]]:
    """The instructions of episodes, and how many episodes have just these."""
    codes = index.codes("instructions")
    counts = np.bincount(codes.codes[episodes], minlength=len(codes.values)).tolist()
    return [(json.loads(text), count) for text, count in zip(codes.values, counts, strict=True)]


def _space(name: str, found: ArrayStatistics) -> SpaceFacts:
    space = spaces.load(name)
    columns = zip(space.dimensions, found.min, found.max, found.mean, found.std, strict=True)
    return SpaceFacts(
        name=name,
        kind=space.kind,
        num_rows=found.count,
        dimensions=tuple(
            DimensionFacts(
                name=dimension.name,
                unit=dimension.unit,
                min=low,
                max=high,
                mean=mean,
                std=std,
                low=dimension.low,
                high=dimension.high,
                constant=low == high,
                outside=(dimension.low is not None and low < dimension.low)
                or (dimension.high is not None and high > dimension.high),
            )
            for dimension, low, high, mean, std in columns
        ),
    )
