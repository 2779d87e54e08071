from dataclasses import replace

import numpy as np
import pytest
from micro import MICRO
from numpy.typing import NDArray

from vpdata.loader.window import Window
from vpdata.stats import ArrayStatistics
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.evaluate import ActionErrors, WindowPrediction, predict_windows


def of_video(
    window: Window,
    recorded: list[int],
    predicted: list[int],
    *,
    mask: tuple[bool, bool, bool] = (True, True, True),
) -> WindowPrediction:
    """A window of grey frames with these levels, and a prediction of others."""

    def grey(levels: list[int]) -> NDArray[np.uint8]:
        return np.broadcast_to(np.array(levels, dtype=np.uint8)[:, None, None, None], (3, 4, 4, 3)).copy()

    shown = replace(window, frames={"wrist": grey(recorded), "left": grey(recorded)}, frame_mask=np.array(mask))
    frames = {"wrist": grey(predicted), "left": grey(predicted)}
    return WindowPrediction(window=shown, frames=frames, actions=None, recorded_actions=None)


def test_psnr_by_hand(labelled_windows: list[Window]) -> None:
    window = labelled_windows[0]
    psnr, baseline = of_video(window, [100, 110, 120], [0, 113, 124]).psnr()
    assert psnr == pytest.approx(10 * np.log10(255**2 / ((3**2 + 4**2) / 2)))
    assert baseline == pytest.approx(10 * np.log10(255**2 / ((10**2 + 20**2) / 2)))


def test_psnr_leaves_out_frames_past_the_end(labelled_windows: list[Window]) -> None:
    prediction = of_video(labelled_windows[0], [100, 110, 110], [0, 113, 255], mask=(True, True, False))
    assert prediction.psnr()[0] == pytest.approx(10 * np.log10(255**2 / 9))
    assert prediction.psnr()[1] == pytest.approx(10 * np.log10(255**2 / 100))
    with pytest.raises(ValueError, match="no predicted video"):
        of_video(labelled_windows[0], [1, 1, 1], [1, 1, 1], mask=(True, False, False)).psnr()


def test_psnr_of_no_error_is_finite(labelled_windows: list[Window]) -> None:
    assert of_video(labelled_windows[0], [7, 7, 7], [9, 7, 7]).psnr() == (99.0, 99.0)


def test_action_errors_by_hand(labelled_windows: list[Window]) -> None:
    rows = np.concatenate([-np.ones((1, 7)), np.ones((3, 7))])  # mean 0.5 in [-1, 1]
    normalizer = ActionNormalizer(space="osc_pose_action", statistics=ArrayStatistics.of(rows))
    recorded = np.zeros((MICRO.horizon, 7))
    predicted = recorded.copy()
    predicted[:, 0], predicted[5:] = 0.3, 100.0
    window = replace(labelled_windows[0], action_mask=np.arange(MICRO.horizon) < 5)
    prediction = WindowPrediction(window=window, frames=None, actions=predicted, recorded_actions=recorded)
    bare = replace(prediction, actions=None, recorded_actions=None)
    errors = ActionErrors.of([prediction, bare], normalizer)
    assert errors is not None
    assert errors.num_windows == 1
    assert errors.error == pytest.approx(np.sqrt(0.3**2 / 7))
    assert errors.baseline_error == pytest.approx(0.5)
    assert errors.dimensions[1][1] == 0
    assert errors.to_json()["dimensions"][0] == {
        "name": "delta_x",
        "error": pytest.approx(0.3),
        "baseline_error": pytest.approx(0.5),
    }
    assert ActionErrors.of([bare], normalizer) is None


def test_every_window_is_predicted_once_whatever_it_shows(
    policy: VideoPolicy, any_windows: list[Window], text: CachedText, normalizer: ActionNormalizer
) -> None:
    sampling = replace(MICRO.sampling, num_steps=1)

    def predicted(normalizer: ActionNormalizer | None, *, with_video: bool) -> list[WindowPrediction]:
        given = predict_windows(
            policy, any_windows, text=text, sampling=sampling, seed=0, normalizer=normalizer, with_video=with_video
        )
        return list(given)

    got = predicted(normalizer, with_video=True)
    assert sorted(p.window.position for p in got) == [window.position for window in any_windows]
    for p in got:
        assert all(f.shape == (MICRO.num_frames, 64, 64, 3) for f in p.window.frames.values())
    assert any(p.actions is None for p in got)
    for prediction in got:
        assert (prediction.actions is not None) == (prediction.window.actions is not None)
        assert prediction.frames is not None
        assert prediction.frames.keys() == prediction.window.frames.keys()
    bare = predicted(None, with_video=False)
    assert all(p.actions is None and p.frames is None for p in bare)


def test_a_window_is_predicted_alike_among_others_and_alone(
    policy: VideoPolicy, labelled_windows: list[Window], text: CachedText, normalizer: ActionNormalizer
) -> None:
    def predicted(windows: list[Window], seed: int) -> NDArray[np.float64]:
        (*_, last) = predict_windows(
            policy,
            windows,
            text=text,
            sampling=replace(MICRO.sampling, num_steps=2),
            seed=seed,
            normalizer=normalizer,
            with_video=False,
        )
        assert last.window.position == windows[-1].position
        assert last.actions is not None
        return last.actions

    alone = predicted(labelled_windows[-1:], 5)
    np.testing.assert_allclose(predicted(labelled_windows, 5), alone, atol=3e-3)
    assert np.abs(predicted(labelled_windows[-1:], 6) - alone).max() > 1e-2


def test_predicted_actions_are_what_a_robot_would_execute(
    policy: VideoPolicy, labelled_windows: list[Window], text: CachedText
) -> None:
    narrow = ActionNormalizer(
        space="osc_pose_action", statistics=ArrayStatistics.of(np.array([[0.0] * 7, [1e-3] * 6 + [0.0]]))
    )
    (prediction, *_) = predict_windows(
        policy,
        labelled_windows[:1],
        text=text,
        sampling=replace(MICRO.sampling, num_steps=1),
        seed=0,
        normalizer=narrow,
        with_video=False,
    )
    assert prediction.actions is not None
    assert prediction.recorded_actions is not None
    assert np.abs(prediction.actions).max() <= 1 + 1e-9
    assert not prediction.actions[:, 6].any()
    np.testing.assert_allclose(narrow.normalize(narrow.restore(prediction.actions)), prediction.actions, atol=1e-9)
    assert np.abs(prediction.recorded_actions).max() > 10
