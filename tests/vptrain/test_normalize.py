from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from micro import MICRO
from numpy.typing import NDArray

from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vpdata.stats import ArrayStatistics
from vptrain.normalize import ActionNormalizer, images_to_unit, unit_to_images


def recorded(recordings: Path, keys: set[str]) -> NDArray[np.float64]:
    """All actions of some RoboCasa episodes (`file::episode`), from the recordings themselves."""
    rows = []
    for key in sorted(keys):
        file, _, demo = key.partition("::")
        with h5py.File(recordings / "robocasa" / file) as store:
            rows.append(store["data"][demo]["actions"][:, :7])
    return np.concatenate(rows)


def episode_keys(mixture: Mixture, *, held_out: bool) -> set[str]:
    clips = mixture.held_out_clips() if held_out else mixture.training_clips()
    return {f"{p.clip.episode.file}::{p.clip.episode.episode_id}" for p in clips if p.source == "robocasa"}


def test_every_training_action_counts_once(mixture: Mixture, recordings: Path, normalizer: ActionNormalizer) -> None:
    rows = recorded(recordings, episode_keys(mixture, held_out=False))
    expected = ArrayStatistics.of(rows)
    assert normalizer.statistics.count == len(rows)
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(getattr(normalizer.statistics, name), getattr(expected, name), atol=1e-12)
    assert len(mixture.training_clips()) > len(episode_keys(mixture, held_out=False))


def test_held_out_demos_do_not_count(mixture: Mixture, recordings: Path, normalizer: ActionNormalizer) -> None:
    training, held_out = episode_keys(mixture, held_out=False), episode_keys(mixture, held_out=True)
    assert held_out
    assert training.isdisjoint(held_out)
    everything = ArrayStatistics.of(recorded(recordings, training | held_out))
    assert normalizer.statistics.count < everything.count
    assert normalizer.statistics.mean != everything.mean


def test_withheld_and_inconvertible_actions_do_not_count(mixture: Mixture, normalizer: ActionNormalizer) -> None:
    assert any(p.clip.num_actions and p.source == "teleop" for p in mixture.training_clips())
    assert len(normalizer.statistics.mean) == 7
    without = [p for p in mixture.training_clips() if p.source != "teleop"]
    assert ActionNormalizer.fit(without, space=MICRO.action_space) == normalizer
    assert ActionNormalizer.fit([p for p in without if p.source == "video"], space=MICRO.action_space) is None
    assert ActionNormalizer.fit(mixture.training_clips(), space="aloha_action") is None


@pytest.fixture
def constant() -> ActionNormalizer:
    """Of one varying and two constant dimensions, one of them zero."""
    rows = np.array([[-1.0, 0.5, 0.0], [3.0, 0.5, 0.0]])
    return ActionNormalizer(space="osc_pose_action", statistics=ArrayStatistics.of(rows))


def test_the_range_becomes_minus_one_to_one(constant: ActionNormalizer) -> None:
    rows = np.array([[-1.0, 0.5, 0.0], [1.0, 0.5, 0.0], [3.0, 0.5, 0.0]])
    np.testing.assert_allclose(constant.normalize(rows)[:, 0], [-1, 0, 1])
    np.testing.assert_allclose(constant.restore(constant.normalize(rows)), rows)
    np.testing.assert_allclose(constant.mean, [0, 0, 0])


@pytest.mark.filterwarnings("error")
def test_a_constant_dimension_is_zero_and_comes_back(constant: ActionNormalizer) -> None:
    odd = np.array([[0.0, 9.0, -4.0]])
    assert constant.normalize(odd)[0, 1:].tolist() == [0, 0]
    assert constant.restore(np.array([[0.0, 0.8, -0.3]]))[0, 1:].tolist() == [0.5, 0.0]


def test_restored_actions_stay_in_the_seen_range(constant: ActionNormalizer) -> None:
    assert constant.restore(np.array([[-5.0, 0, 0], [5.0, 0, 0]]))[:, 0].tolist() == [-1, 3]
    assert constant.normalize(np.array([[5.0, 0.5, 0]]))[0, 0] == pytest.approx(2)


@pytest.mark.filterwarnings("error")
def test_recorded_constants_are_no_division_by_zero(recordings: Path, datasets: Mapping[str, Path]) -> None:
    close = [clip for clip in Dataset.open(datasets["robocasa"]).clips if clip.episode.task == "CloseDrawer"]
    rows = recorded(recordings, {f"{clip.episode.file}::{clip.episode.episode_id}" for clip in close})
    fitted = ActionNormalizer(space="osc_pose_action", statistics=ArrayStatistics.of(rows))
    assert fitted.statistics.min[6] == fitted.statistics.max[6]
    normalized = fitted.normalize(rows)
    assert np.abs(normalized).max() <= 1 + 1e-12
    np.testing.assert_allclose(fitted.restore(normalized), rows, atol=1e-12)


def test_it_survives_json(normalizer: ActionNormalizer) -> None:
    assert ActionNormalizer.from_json(normalizer.to_json()) == normalizer


def test_images_go_to_minus_one_to_one_and_back() -> None:
    frames = torch.arange(256, dtype=torch.uint8).repeat(3)[: 4 * 8 * 8 * 3 // 3].reshape(4, 8, 8, 1).repeat(1, 1, 1, 3)
    unit = images_to_unit(frames)
    assert unit.shape == (4, 3, 8, 8)
    assert (unit.min().item(), unit.max().item()) == (-1, 1)
    assert torch.equal(unit_to_images(unit), frames)
    assert unit_to_images(torch.tensor([-3.0, 3.0, 0.0]).reshape(3, 1, 1)).flatten().tolist() == [0, 255, 128]
