import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from micro import MICRO
from PIL import Image

from vpdata.mixture.holdout import episode_key
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.schema import Episode
from vpdata.shards.dataset import Dataset
from vptrain.checkpoint import Checkpoint
from vptrain.errors import VptrainError
from vptrain.rollout.held_out import predict_held_out


def predict_into(out: Path, run: Path, mixture: Mixture, **changes: Any) -> dict[str, Any]:
    sampling = replace(MICRO.sampling, num_steps=2)
    given: dict[str, Any] = {
        "sampling": sampling,
        "num_videos": 3,
        "num_windows": 3,
        "seed": 0,
        "device": "cpu",
        "report": lambda _: None,
    }
    return predict_held_out(Checkpoint.open(run), mixture, out, **given | changes)


@pytest.fixture(scope="module")
def robocasa(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    """RoboCasa alone, so that every held-out clip has actions."""
    file = tmp_path_factory.mktemp("mix") / "mix.toml"
    return make_mixture({"robocasa": Dataset.open(datasets["robocasa"])}, file=file, holdout=Fraction(1, 10))


@pytest.fixture(scope="module")
def predicted(stage2_run: Path, robocasa: Mixture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predictions") / "out"
    predict_into(out, stage2_run, robocasa)
    return out


@pytest.fixture(scope="module")
def result(predicted: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((predicted / "predictions.json").read_text())
    return values


def test_every_shown_window_has_its_pictures(predicted: Path, result: dict[str, Any], robocasa: Mixture) -> None:
    names = {clip[kind] for clip in result["clips"] for kind in ("video", "strip")}
    assert {path.name for path in predicted.iterdir()} == {"predictions.json", *names}
    assert {clip["key"] for clip in result["clips"]} <= {placed.clip.key for placed in robocasa.held_out_clips()}
    for clip in result["clips"]:
        with av.open(str(predicted / clip["video"])) as container:
            assert len(list(container.decode(video=0))) == MICRO.num_frames + 3
            assert container.streams.video[0].average_rate == 20 / MICRO.stride
        assert np.asarray(Image.open(predicted / clip["strip"])).std() > 5


def test_the_scores_follow_from_the_stored_arrays(result: dict[str, Any], stage2_run: Path) -> None:
    clips, video, actions = result["clips"], result["video"], result["actions"]
    for name in ("psnr", "baseline_psnr"):
        assert video[name] == pytest.approx(np.mean([clip[name] for clip in clips]))
    assert video["num_windows"] == actions["num_windows"] == len(clips) == 3
    normalizer = Checkpoint.open(stage2_run).normalizer
    assert normalizer is not None
    masks = [np.array(clip["actions"]["mask"]) for clip in clips]
    predicted, recorded = (
        np.concatenate(
            [
                normalizer.normalize(np.array(clip["actions"][kind]))[mask]
                for clip, mask in zip(clips, masks, strict=True)
            ]
        )
        for kind in ("predicted", "recorded")
    )
    squares = np.square(predicted - recorded)
    assert actions["error"] == pytest.approx(np.sqrt(squares.mean()), rel=1e-5)
    assert actions["baseline_error"] == pytest.approx(np.sqrt(np.square(normalizer.mean - recorded).mean()), rel=1e-5)
    each = [dimension["error"] for dimension in actions["dimensions"]]
    assert each == pytest.approx(np.sqrt(squares.mean(axis=0)).tolist(), rel=1e-5)
    assert [dimension["name"] for dimension in actions["dimensions"]] == clips[0]["actions"]["names"]


def test_recorded_actions_are_as_recorded(result: dict[str, Any], robocasa: Mixture) -> None:
    clips = {placed.clip.key: placed for placed in robocasa.held_out_clips()}
    for shown in result["clips"]:
        placed = clips[shown["key"]]
        rows = placed.dataset.actions(placed.clip)
        assert rows is not None
        start = shown["start"] - placed.clip.span.start
        mask = np.array(shown["actions"]["mask"])
        expected = rows[start : start + MICRO.horizon, :7]
        np.testing.assert_allclose(np.array(shown["actions"]["recorded"])[mask], expected[: mask.sum()], atol=1e-12)
        robot = shown["actions"]["robot"]
        assert (robot["space"], len(robot["names"])) == ("robocasa_panda_omron_action", 12)
        predicted = np.clip(shown["actions"]["predicted"], -1, 1)
        np.testing.assert_allclose(np.array(robot["commands"])[:, :7], predicted, atol=1e-12)


def test_the_same_seed_predicts_the_same(
    predicted: Path, result: dict[str, Any], stage2_run: Path, robocasa: Mixture, tmp_path: Path
) -> None:
    again = predict_into(tmp_path / "again", stage2_run, robocasa)
    assert again == result
    for file in predicted.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    other = predict_into(tmp_path / "other", stage2_run, robocasa, seed=1)
    assert other["clips"][0]["actions"]["predicted"] != result["clips"][0]["actions"]["predicted"]


def test_a_stage1_run_predicts_video_alone(stage1_run: Path, robocasa: Mixture, tmp_path: Path) -> None:
    result = predict_into(tmp_path / "out", stage1_run, robocasa)
    assert result["actions"] is None
    assert all(clip["actions"] is None for clip in result["clips"])


def test_of_video_and_other_robots_only_the_video_is_predicted(
    stage2_run: Path, datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    pool = {name: Dataset.open(datasets[name]) for name in ("robocasa", "video")}
    mixed = make_mixture(pool, file=tmp_path / "mix.toml", holdout=Fraction(1, 10))
    reports: list[int] = []
    result = predict_into(tmp_path / "out", stage2_run, mixed, report=reports.append)
    by_source = {clip["source"]: clip["actions"] is not None for clip in result["clips"]}
    assert by_source == {"robocasa": True, "video": False}
    assert sum(reports) == len(result["clips"]) + result["actions"]["num_windows"]


def test_a_clip_with_one_frame_is_left_out(stage1_run: Path, datasets: Mapping[str, Path], tmp_path: Path) -> None:
    dataset = Dataset.open(datasets["video"])
    made = make_mixture({"video": dataset}, file=tmp_path / "mix.toml")
    episodes = [clip.episode for clip in dataset.clips if clip.span.start == 0]
    single = next(episode for episode in episodes if episode.num_frames == 1)
    longer = next(episode for episode in episodes if episode.num_frames > 100)

    def holding_out(*chosen: Episode) -> Mixture:
        (entry,) = made.spec.sources
        kept = replace(entry, held_out=tuple(episode_key(episode) for episode in chosen))
        return Mixture.of(replace(made.spec, sources=(kept,)), (dataset,))

    with pytest.raises(VptrainError, match="no held-out clip is long enough"):
        predict_into(tmp_path / "out", stage1_run, holding_out(single))
    result = predict_into(tmp_path / "out", stage1_run, holding_out(single, longer))
    shown = {clip["key"] for clip in result["clips"]}
    assert shown
    assert shown <= {clip.key for clip in dataset.clips if clip.episode == longer}
    assert np.isfinite(result["video"]["psnr"])


def test_nothing_is_overwritten(stage1_run: Path, robocasa: Mixture, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    with pytest.raises(VptrainError, match="the folder is not empty"):
        predict_into(tmp_path, stage1_run, robocasa)


def test_without_held_out_episodes_there_is_nothing_to_predict(
    stage1_run: Path, datasets: Mapping[str, Path], tmp_path: Path
) -> None:
    everything = make_mixture({"robocasa": Dataset.open(datasets["robocasa"])}, file=tmp_path / "mix.toml")
    with pytest.raises(VptrainError, match="--holdout"):
        predict_into(tmp_path / "out", stage1_run, everything)
    assert not (tmp_path / "out").exists()
