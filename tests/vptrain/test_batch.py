from dataclasses import replace

import numpy as np
import pytest
import torch
from micro import MICRO

from vpdata.clips.resize import resize
from vpdata.loader.loader import load
from vpdata.loader.window import Window
from vpdata.mixture.mixture import Mixture
from vptrain.batch import make_batches, window_spec
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.normalize import ActionNormalizer, images_to_unit


def test_every_window_is_in_one_batch_of_its_cameras(any_windows: list[Window]) -> None:
    batches = make_batches(any_windows, image_size=MICRO.image_size)
    assert sum(len(batch) for batch in batches) == len(any_windows)
    assert len({batch.layout for batch in batches}) == len(batches)
    for batch in batches:
        members = [window for window in any_windows if tuple(window.frames) == batch.layout]
        assert batch.instructions == tuple(window.instruction for window in members)
        for i, window in enumerate(members):
            for v, camera in enumerate(batch.layout):
                stored = window.frames[camera]
                expected = resize(stored, height=MICRO.image_size, width=MICRO.image_size, fit="crop")
                assert stored.shape != expected.shape
                difference = batch.frames_BVFHWC[i, v].numpy().astype(int) - expected
                assert np.abs(difference).max() <= 2
            assert batch.keys[i] == window.position
            assert batch.frame_mask_BF[i].tolist() == window.frame_mask.tolist()
        assert batch.actions_BAD is None


def test_no_view_is_invented(any_windows: list[Window], mixture: Mixture, policy: VideoPolicy) -> None:
    """What reaches the UNet is one frame and, of each camera that the clip was recorded with, all of its frames."""
    recorded = {p.clip.key: [camera.name for camera in p.clip.episode.cameras] for p in mixture.training_clips()}
    expected: dict[tuple[str, ...], list[Window]] = {}
    for window in any_windows:
        cameras = recorded[window.key]
        shown = tuple(camera for camera in MICRO.cameras if camera in cameras) or (cameras[0],)
        expected.setdefault(shown, []).append(window)
    assert {1, 3} <= {len(layout) for layout in expected}
    batches = {batch.layout: batch for batch in make_batches(any_windows, image_size=MICRO.image_size)}
    assert set(batches) == set(expected)
    for layout, batch in batches.items():
        assert batch.frames_BVFHWC.shape[:2] == (len(expected[layout]), len(layout))
        for i, window in enumerate(expected[layout]):
            for v, camera in enumerate(layout):
                (alone,) = make_batches(
                    [window.with_frames({camera: window.frames[camera]})], image_size=MICRO.image_size
                )
                assert torch.equal(batch.frames_BVFHWC[i, v], alone.frames_BVFHWC[0, 0])
        first = images_to_unit(batch.frames_BVFHWC[:, :, 0])
        text = torch.zeros(len(batch), MICRO.text.dim)
        condition = policy.encode_condition(first, text, layout=layout, noise_BVCHW=torch.zeros_like(first))
        assert condition.latents_BTCHW.shape[1] == batch.mask_BT.shape[1] == 1 + len(layout) * MICRO.num_frames


def test_actions_are_converted_and_normalised(labelled_windows: list[Window], normalizer: ActionNormalizer) -> None:
    (batch,) = make_batches(labelled_windows, normalizer=normalizer, image_size=MICRO.image_size)
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
    (batch,) = make_batches([window], normalizer=normalizer, image_size=MICRO.image_size)
    (changed,) = make_batches([replace(window, actions=other)], normalizer=normalizer, image_size=MICRO.image_size)
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
    (batch,) = make_batches(
        [replace(window, actions=padded)], normalizer=normalizer, padding="zero", image_size=MICRO.image_size
    )
    assert batch.actions_BAD is not None
    assert batch.action_mask_BA.all()
    np.testing.assert_allclose(batch.actions_BAD[0, 3:].numpy(), normalizer.normalize(np.zeros((5, 7))), atol=1e-6)


def test_the_mask_along_time_holds_for_every_camera(labelled_windows: list[Window]) -> None:
    (batch,) = make_batches([ending(labelled_windows[0]), labelled_windows[0]], image_size=MICRO.image_size)
    assert batch.mask_BT[0].tolist() == [True, *[True, False, False] * 3]
    whole = labelled_windows[0].frame_mask.tolist()
    assert batch.mask_BT[1].tolist() == [True, *whole * 3]


def test_one_window_without_actions_makes_a_batch_without(
    labelled_windows: list[Window], normalizer: ActionNormalizer
) -> None:
    bare = replace(
        labelled_windows[1], actions=None, action_space=None, action_mask=np.zeros(MICRO.horizon, dtype=np.bool_)
    )
    (batch,) = make_batches([labelled_windows[0], bare], normalizer=normalizer, image_size=MICRO.image_size)
    assert batch.actions_BAD is None


def test_actions_of_another_robot_are_refused_with_a_way_out(
    labelled_windows: list[Window], normalizer: ActionNormalizer
) -> None:
    foreign = replace(labelled_windows[0], action_space="aloha_action", actions=np.zeros((MICRO.horizon, 14)))
    with pytest.raises(VptrainError, match="--withhold robocasa") as caught:
        make_batches([foreign], normalizer=normalizer, image_size=MICRO.image_size)
    assert caught.value.episode == foreign.key
    assert caught.value.path == foreign.shard
    assert make_batches([foreign], image_size=MICRO.image_size)[0].actions_BAD is None


def test_windows_are_what_the_model_is_configured_for(labelled_windows: list[Window]) -> None:
    spec = window_spec(MICRO)
    assert spec.span == MICRO.span == 9
    assert labelled_windows[0].frames["wrist"].shape == (MICRO.num_frames, 128, 128, 3)  # as stored


def test_a_batch_checks_its_shapes(labelled_windows: list[Window]) -> None:
    (batch,) = make_batches(labelled_windows, image_size=MICRO.image_size)
    with pytest.raises(ValueError, match="does not fit"):
        replace(batch, layout=("wrist",))
    with pytest.raises(ValueError, match="does not fit"):
        replace(batch, instructions=("one",))


def test_what_a_loader_delivers_gives_the_same_batches(
    mixture: Mixture, any_windows: list[Window], normalizer: ActionNormalizer
) -> None:
    options = {"image_size": MICRO.image_size, "normalizer": normalizer}
    with load(mixture, window_spec(MICRO), batch_size=12, start=0, num_workers=1) as loader:
        ours = make_batches(next(loader), **options)
    theirs = make_batches(any_windows, **options)
    assert len(ours) == len(theirs) > 1
    for a, b in zip(ours, theirs, strict=True):
        assert (a.layout, a.instructions, a.keys) == (b.layout, b.instructions, b.keys)
        assert torch.equal(a.frames_BVFHWC, b.frames_BVFHWC)
        assert torch.equal(a.frame_mask_BF, b.frame_mask_BF)


def test_windows_of_other_sizes_are_of_one_batch_in_order(labelled_windows: list[Window]) -> None:
    small = [
        window.with_frames({camera: view[:, ::2, ::2].copy() for camera, view in window.frames.items()})
        for window in labelled_windows
    ]
    mixed = [small[0], labelled_windows[1], small[2], labelled_windows[3]]
    (batch,) = make_batches(mixed, image_size=MICRO.image_size)
    for i, window in enumerate(mixed):
        (alone,) = make_batches([window], image_size=MICRO.image_size)
        assert torch.equal(batch.frames_BVFHWC[i], alone.frames_BVFHWC[0])
    assert batch.keys == (0, 1, 2, 3)
    uneven = labelled_windows[0].with_frames({**labelled_windows[0].frames, "wrist": small[0].frames["wrist"]})
    (batch,) = make_batches([uneven], image_size=MICRO.image_size)
    assert torch.equal(
        batch.frames_BVFHWC[0, 0].unsqueeze(0), make_batches([small[0]], image_size=64)[0].frames_BVFHWC[:, 0]
    )


def test_windows_of_no_stream_are_known_by_their_place(any_windows: list[Window]) -> None:
    batches = make_batches([replace(window, position=None) for window in any_windows], image_size=64)
    assert len(batches) > 1
    assert sorted(key for batch in batches for key in batch.keys) == list(range(len(any_windows)))


def test_parts_of_a_batch_are_its_windows_in_order(
    labelled_windows: list[Window], normalizer: ActionNormalizer
) -> None:
    (batch,) = make_batches(labelled_windows, normalizer=normalizer, image_size=64)
    assert batch.split(None) == batch.split(6) == [batch]
    parts = batch.split(4)
    assert [len(part) for part in parts] == [4, 2]
    assert tuple(key for part in parts for key in part.keys) == batch.keys
    assert tuple(text for part in parts for text in part.instructions) == batch.instructions
    for name in ("frames_BVFHWC", "frame_mask_BF", "actions_BAD", "action_mask_BA"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
