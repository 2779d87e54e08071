from dataclasses import replace

import numpy as np
import pytest
import torch
from micro import MICRO

from vpdata.loader.window import Window
from vptrain.batch import make_batches, window_spec
from vptrain.errors import VptrainError
from vptrain.normalize import ActionNormalizer


def test_every_window_is_in_one_batch_of_its_cameras(any_windows: list[Window]) -> None:
    batches = make_batches(any_windows)
    assert sum(len(batch) for batch in batches) == len(any_windows)
    assert len({batch.layout for batch in batches}) == len(batches)
    for batch in batches:
        members = [window for window in any_windows if tuple(window.frames) == batch.layout]
        assert batch.instructions == tuple(window.instruction for window in members)
        for i, window in enumerate(members):
            for v, camera in enumerate(batch.layout):
                assert np.array_equal(batch.frames_BVFHWC[i, v].numpy(), window.frames[camera])
            assert batch.frame_mask_BF[i].tolist() == window.frame_mask.tolist()
        assert batch.actions_BAD is None


def test_actions_are_converted_and_normalised(labelled_windows: list[Window], normalizer: ActionNormalizer) -> None:
    (batch,) = make_batches(labelled_windows, normalizer=normalizer)
    assert batch.layout == MICRO.cameras
    assert batch.actions_BAD is not None
    assert batch.actions_BAD.shape == (6, MICRO.horizon, 7)
    assert batch.actions_BAD.dtype == torch.float32
    for i, window in enumerate(labelled_windows):
        assert window.actions is not None
        expected = normalizer.normalize(window.actions[:, :7])[window.action_mask]
        np.testing.assert_allclose(batch.actions_BAD[i].numpy()[window.action_mask], expected, atol=1e-6)


def ending(window: Window) -> Window:
    """The window as if its episode ended after three actions and one frame."""
    return replace(
        window,
        action_mask=np.arange(MICRO.horizon) < 3,
        frame_mask=np.arange(MICRO.num_frames) < 1,
    )


def test_padded_actions_do_not_matter(labelled_windows: list[Window], normalizer: ActionNormalizer) -> None:
    window = ending(labelled_windows[0])
    assert window.actions is not None
    other = window.actions.copy()
    other[3:] = 1e6
    (batch,) = make_batches([window], normalizer=normalizer)
    (changed,) = make_batches([replace(window, actions=other)], normalizer=normalizer)
    assert batch.actions_BAD is not None
    assert changed.actions_BAD is not None
    assert torch.equal(batch.actions_BAD, changed.actions_BAD)
    assert not batch.actions_BAD[0, 3:].any()
    assert batch.action_mask_BA.tolist() == [[True] * 3 + [False] * 5]


def test_padding_as_in_the_reference_is_learned(labelled_windows: list[Window], normalizer: ActionNormalizer) -> None:
    window = ending(labelled_windows[0])
    assert window.actions is not None
    padded = window.actions.copy()
    padded[3:] = 0
    (batch,) = make_batches([replace(window, actions=padded)], normalizer=normalizer, padding="zero")
    assert batch.actions_BAD is not None
    assert batch.action_mask_BA.all()
    np.testing.assert_allclose(batch.actions_BAD[0, 3:].numpy(), normalizer.normalize(np.zeros((5, 7))), atol=1e-6)


def test_the_mask_along_time_holds_for_every_camera(labelled_windows: list[Window]) -> None:
    (batch,) = make_batches([ending(labelled_windows[0]), labelled_windows[0]])
    assert batch.mask_BT[0].tolist() == [True, *[True, False, False] * 3]
    whole = labelled_windows[0].frame_mask.tolist()
    assert batch.mask_BT[1].tolist() == [True, *whole * 3]


def test_one_window_without_actions_makes_a_batch_without(
    labelled_windows: list[Window], normalizer: ActionNormalizer
) -> None:
    bare = replace(
        labelled_windows[1], actions=None, action_space=None, action_mask=np.zeros(MICRO.horizon, dtype=np.bool_)
    )
    (batch,) = make_batches([labelled_windows[0], bare], normalizer=normalizer)
    assert batch.actions_BAD is None


def test_actions_of_another_robot_are_refused_with_a_way_out(
    labelled_windows: list[Window], normalizer: ActionNormalizer
) -> None:
    foreign = replace(labelled_windows[0], action_space="aloha_action", actions=np.zeros((MICRO.horizon, 14)))
    with pytest.raises(VptrainError, match="--withhold robocasa") as caught:
        make_batches([foreign], normalizer=normalizer)
    assert caught.value.episode == foreign.key
    assert caught.value.path == foreign.shard
    assert make_batches([foreign])[0].actions_BAD is None


def test_windows_are_what_the_model_is_configured_for(labelled_windows: list[Window]) -> None:
    spec = window_spec(MICRO)
    assert spec.span == MICRO.span == 9
    frames = labelled_windows[0].frames["wrist"]
    assert frames.shape == (MICRO.num_frames, MICRO.image_size, MICRO.image_size, 3)


def test_a_batch_checks_its_shapes(labelled_windows: list[Window]) -> None:
    (batch,) = make_batches(labelled_windows)
    with pytest.raises(ValueError, match="does not fit"):
        replace(batch, layout=("wrist",))
    with pytest.raises(ValueError, match="does not fit"):
        replace(batch, instructions=("one",))
