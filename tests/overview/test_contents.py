"""What is said of a data set, against its clips one by one."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from vpdata.overview.contents import describe
from vpdata.overview.facts import Distribution
from vpdata.shards.dataset import Dataset


@pytest.mark.parametrize("name", ["robocasa", "libero", "teleop", "video"])
def test_counts_and_lengths_are_those_of_the_clips(datasets: Mapping[str, Path], name: str) -> None:
    dataset = Dataset.open(datasets[name])
    clips, facts = list(dataset.clips), describe(dataset)
    episodes = {clip.episode.content_digest: clip.episode for clip in clips}
    lengths = [episode.num_frames / episode.fps for episode in episodes.values()]
    assert (facts.num_episodes, facts.num_clips) == (len(episodes), len(clips))
    assert facts.num_frames == sum(clip.num_frames for clip in clips) == dataset.manifest.num_frames
    assert facts.seconds == pytest.approx(sum(lengths)) == pytest.approx(dataset.manifest.duration_seconds)
    assert facts.labelled_seconds == pytest.approx(sum(e.num_actions / e.fps for e in episodes.values()))
    assert facts.episode_seconds.median == pytest.approx(np.median(lengths))
    assert sum(facts.episode_seconds.counts) == len(lengths)
    assert facts.clip_seconds.max == pytest.approx(max(clip.num_frames / clip.episode.fps for clip in clips))
    assert {one.text: one.count for one in facts.fps} == Counter(f"{e.fps:.6g}" for e in episodes.values())
    tasks = {(one.name, one.num_episodes) for one in facts.tasks}
    assert tasks == set(Counter(episode.task for episode in episodes.values()).items())
    assert sum(one.num_clips for one in facts.tasks) == sum(one.num_clips for one in facts.sources) == len(clips)
    cameras = Counter((c.name, c.height, c.width) for clip in clips for c in clip.episode.cameras)
    assert {(one.name, one.height, one.width): one.num_clips for one in facts.cameras} == cameras
    texts = Counter(text for episode in episodes.values() for text in episode.instructions)
    assert {one.text: one.count for one in facts.language.instructions} == texts


def test_constant_dimensions_are_marked(datasets: Mapping[str, Path]) -> None:
    dataset = Dataset.open(datasets["robocasa"])
    rows = np.concatenate([dataset.actions(clip)[: clip.num_labelled_starts] for clip in dataset.clips])
    (space,) = (space for space in describe(dataset).spaces if space.kind == "action")
    assert space.num_rows == len(rows)
    assert [one.constant for one in space.dimensions] == (rows == rows[0]).all(axis=0).tolist()
    assert {"base_forward", "mode"} <= {one.name for one in space.dimensions if one.constant}
    for i, one in enumerate(space.dimensions):
        assert (one.min, one.max) == (rows[:, i].min(), rows[:, i].max())
        assert one.outside == (rows[:, i].max() > one.high or rows[:, i].min() < one.low)


def test_a_distribution_counts_every_value_once() -> None:
    values = np.random.default_rng(0).exponential(size=1000)
    found = Distribution.of(values)
    assert sum(found.counts) == found.count == 1000
    assert (found.edges[0], found.edges[-1]) == (values.min(), values.max())
    assert (found.median, found.mean) == (np.median(values), values.mean())
    assert Distribution.of(np.full(7, 2.5)).counts == (7,)
    within = Distribution.of(values, limits=(0.0, 100.0))
    assert (within.edges[0], within.edges[-1], sum(within.counts)) == (0.0, 100.0, 1000)
