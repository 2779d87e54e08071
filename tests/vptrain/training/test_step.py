from dataclasses import replace

import numpy as np
import pytest
import torch
from micro import MICRO, STAGE1, STAGE2
from torch import Tensor, nn

from vpdata.loader.window import Window
from vptrain.batch import Batch, make_batches
from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.training.step import StageLosses

JOINT = replace(STAGE1, stage="joint")
NO_JITTER = replace(STAGE1, color_jitter=False)


def losses_of(policy: VideoPolicy, batch: Batch, *, text: CachedText, run: RunConfig) -> Tensor:
    losses = StageLosses(policy, text=text, run=run)(batch)
    assert isinstance(losses, Tensor)
    return losses


@torch.no_grad()
@pytest.mark.parametrize("run", [STAGE1, STAGE2, JOINT], ids=lambda run: run.stage)
def test_a_windows_loss_does_not_depend_on_its_neighbours(
    policy: VideoPolicy,
    labelled_windows: list[Window],
    text: CachedText,
    normalizer: ActionNormalizer,
    run: RunConfig,
) -> None:
    (batch,) = make_batches(labelled_windows, normalizer=normalizer, image_size=MICRO.image_size)
    together = losses_of(policy, batch, text=text, run=run)
    apart = torch.cat([losses_of(policy, part, text=text, run=run) for part in batch.split(1)])
    assert together.shape == (6,)
    assert together.isfinite().all()
    assert len(set(together.tolist())) == 6
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_draws_follow_from_seed_stage_position_and_turn(
    policy: VideoPolicy, labelled_windows: list[Window], text: CachedText, normalizer: ActionNormalizer
) -> None:
    (batch,) = make_batches(labelled_windows[:1], normalizer=normalizer, image_size=MICRO.image_size)

    def loss(run: RunConfig, batch: Batch, *, turn: int = 0) -> float:
        losses: Tensor = StageLosses(policy, text=text, run=run)(batch, turn=turn)
        return losses.item()

    same = replace(STAGE2, steps=99, num_workers=2)
    others = [
        loss(replace(STAGE2, seed=1), batch),
        loss(STAGE2, replace(batch, keys=(77,))),
        loss(STAGE2, batch, turn=1),
        loss(JOINT, batch),
    ]
    assert loss(STAGE2, batch) == loss(same, batch)
    assert len({loss(STAGE2, batch), *others}) == 5


def test_stages_with_actions_refuse_windows_without(
    policy: VideoPolicy, labelled_windows: list[Window], text: CachedText
) -> None:
    (batch,) = make_batches(labelled_windows, image_size=MICRO.image_size)
    for run in (STAGE2, JOINT):
        with pytest.raises(VptrainError, match=f"{run.stage} was given windows without actions"):
            losses_of(policy, batch, text=text, run=run)


@torch.no_grad()
@pytest.mark.parametrize(("rate", "drop"), [(0.0, "clip"), (1.0, "clip"), (1.0, "frame")])
def test_dropping_hides_text_and_first_frames(
    policy: VideoPolicy, labelled_windows: list[Window], text: CachedText, rate: float, drop: str
) -> None:
    run = replace(NO_JITTER, drop_rate=rate, drop=drop)
    (batch,) = make_batches(labelled_windows, image_size=MICRO.image_size)
    other = replace(batch, instructions=("pour the milk",) * 6)

    def losses(of: Batch) -> Tensor:
        return losses_of(policy, of, text=text, run=run)

    assert torch.equal(losses(batch), losses(other)) is (rate == 1.0)


@torch.no_grad()
def test_half_of_the_clips_are_dropped_whole(
    policy: VideoPolicy, labelled_windows: list[Window], text: CachedText
) -> None:
    seen: dict[str, list[Tensor]] = {"clip": [], "frame": []}
    windows = [replace(labelled_windows[0], position=position) for position in range(16)]
    (batch,) = make_batches(windows, image_size=MICRO.image_size)

    class Spy(VideoPolicy):
        """Notes the conditions that would reach the network."""

        def forward(self, video: Tensor, _: Tensor, condition: Condition) -> tuple[Tensor, None]:  # type: ignore[override]
            hidden = condition.latents_BTCHW.flatten(2).abs().sum(2) == 0
            silent = condition.text_BTE.abs().sum(2) == 0
            seen[mode].append(torch.stack([hidden, silent]))
            return video, None

    spy = Spy(MICRO)
    spy.load_state_dict(policy.state_dict())
    for mode in seen:
        run = replace(NO_JITTER, drop_rate=0.5, drop=mode)
        losses_of(spy, batch, text=text, run=run)
    (clips,), (frames,) = seen["clip"], seen["frame"]
    assert torch.equal(clips.any(dim=2), clips.all(dim=2))
    dropped = clips.all(dim=2).float().mean(dim=1)
    assert (dropped > 0.2).all()
    assert (dropped < 0.9).all()
    assert not torch.equal(clips[0].all(dim=1), clips[1].all(dim=1))
    assert not torch.equal(frames.any(dim=2), frames.all(dim=2))
    assert abs(frames.float().mean().item() - 0.5) < 0.1


@torch.no_grad()
def test_frames_past_the_episodes_end_do_not_count(labelled_windows: list[Window], text: CachedText) -> None:
    policy = initial_policy(MICRO, seed=1)
    nn.init.zeros_(policy.unet.conv_out.weight)
    short = replace(labelled_windows[0], frame_mask=np.array([True, True, False]))

    def loss(window: Window) -> float:
        (batch,) = make_batches([window], image_size=MICRO.image_size)
        run = replace(NO_JITTER, drop_rate=0.0)
        return losses_of(policy, batch, text=text, run=run).item()

    def with_frame(window: Window, number: int) -> Window:
        frames = {camera: view.copy() for camera, view in window.frames.items()}
        for view in frames.values():
            view[number] = 255 - view[number]
        return replace(window, frames=frames)

    assert loss(with_frame(short, 2)) == loss(short)
    assert loss(with_frame(short, 1)) != loss(short)
    assert loss(with_frame(labelled_windows[0], 2)) != loss(labelled_windows[0])
