"""Any number of cameras and any horizon trains and samples; windows of different kinds train one model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from micro import MICRO, STAGE1

from vpdata.loader.window import Window
from vptrain.batch import Batch, make_batches
from vptrain.config import ModelConfig
from vptrain.models.pretrained import initial_policy
from vptrain.models.text import CachedText
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.policy import predict
from vptrain.training.optimizer import freeze, make_optimizer
from vptrain.training.step import StageLosses

CAMERAS = ("wrist", "front", "left", "right")
TIMES = [(1, 4, 4), (3, 3, 9), (4, 2, 8), (2, 5, 5)]  # frames, stride, horizon


def random_batch(config: ModelConfig, *, count: int = 2) -> Batch:
    """Noise as frames and actions; the last frame and the last half of the actions of the last window are absent."""
    generator = torch.Generator().manual_seed(0)
    size = (count, len(config.cameras), config.num_frames, config.image_size, config.image_size, 3)
    frame_mask = torch.ones(count, config.num_frames, dtype=torch.bool)
    action_mask = torch.ones(count, config.horizon, dtype=torch.bool)
    frame_mask[-1, max(1, config.num_frames - 1) :] = False
    action_mask[-1, (config.horizon + 1) // 2 :] = False
    return Batch(
        layout=config.cameras,
        frames_BVFHWC=torch.randint(256, size, generator=generator, dtype=torch.uint8),
        frame_mask_BF=frame_mask,
        instructions=("open", "shut")[:count],
        keys=tuple(range(count)),
        actions_BAD=2 * torch.rand(count, config.horizon, 7, generator=generator) - 1,
        action_mask_BA=action_mask,
    )


@pytest.mark.parametrize("times", TIMES, ids=lambda times: "x".join(map(str, times)))
@pytest.mark.parametrize("num_cameras", [1, 2, 3, 4])
def test_any_cameras_and_any_horizon_train_and_sample(
    text: CachedText, num_cameras: int, times: tuple[int, int, int]
) -> None:
    num_frames, stride, horizon = times
    config = replace(MICRO, cameras=CAMERAS[:num_cameras], num_frames=num_frames, stride=stride, horizon=horizon)
    policy, batch = initial_policy(config, seed=0), random_batch(config)
    run = replace(STAGE1, stage="joint")
    freeze(policy, run)
    module = StageLosses(policy, text=text, run=run)
    optimizer = make_optimizer(module, run)
    losses = module(batch)
    assert losses.shape == (2,)
    losses.mean().backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in policy.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    for module in (policy.unet.conv_in, *(tower.stem[0].conv1 for tower in policy.encoder.towers), policy.head.out):
        assert module.weight.grad.abs().max() > 0
    optimizer.step()
    prediction = predict(policy, batch, text=text, sampling=config.sampling, seeds=[0, 1], with_actions=True)
    assert prediction.frames_BVFHWC is not None
    assert prediction.actions_BAD is not None
    assert prediction.frames_BVFHWC.shape == batch.frames_BVFHWC.shape
    assert prediction.actions_BAD.shape == (2, horizon, 7)
    assert prediction.actions_BAD.isfinite().all()


def test_one_model_learns_from_labelled_and_from_single_camera_windows(
    any_windows: list[Window], labelled_windows: list[Window], text: CachedText, normalizer: ActionNormalizer
) -> None:
    lone = [w for w in any_windows if len(w.frames) == 1 and w.actions is None][:2]
    assert {len(w.frames) for w in labelled_windows} == {3}
    assert len(lone) == 2
    policy = initial_policy(MICRO, seed=0)
    kinds = make_batches([*lone, *labelled_windows[:2]], normalizer=normalizer, image_size=MICRO.image_size)
    assert {(len(batch.layout), batch.actions_BAD is not None) for batch in kinds} == {(1, False), (3, True)}
    run = replace(STAGE1, color_jitter=False, learning_rate=3e-3)

    @torch.no_grad()
    def losses(stage: str, batches: list[Batch]) -> list[float]:
        """With the same draws each time."""
        fixed = replace(run, stage=stage)
        return [StageLosses(policy, text=text, run=fixed)(batch).mean().item() for batch in batches]

    def train(stage: str, batches: list[Batch], *, steps: int) -> None:
        of_stage = replace(run, stage=stage)
        freeze(policy, of_stage)
        module = StageLosses(policy, text=text, run=of_stage)
        optimizer = make_optimizer(module, of_stage)
        for step in range(steps):
            optimizer.zero_grad()
            at_step = [replace(batch, keys=tuple(key + 1000 * step for key in batch.keys)) for batch in batches]
            torch.cat([module(batch) for batch in at_step]).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    before = losses("stage1", kinds)
    train("stage1", kinds, steps=15)
    assert (np.array(losses("stage1", kinds)) < 0.9 * np.array(before)).all()
    labelled = [batch for batch in kinds if batch.actions_BAD is not None]
    (untrained,) = losses("stage2", labelled)
    video = losses("stage1", kinds)
    train("stage2", labelled, steps=15)
    assert losses("stage2", labelled)[0] < 0.9 * untrained
    assert losses("stage1", kinds) == video
