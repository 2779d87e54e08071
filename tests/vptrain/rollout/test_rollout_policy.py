from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from micro import MICRO
from torch import Tensor

from vpdata.loader.window import Window
from vptrain.batch import Batch, make_batches
from vptrain.config import SamplingConfig
from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.text import CachedText
from vptrain.normalize import images_to_unit
from vptrain.objectives.edm import denoise
from vptrain.rollout.policy import Prediction, predict

SAMPLING = MICRO.sampling
Predict = Callable[..., Prediction]


@pytest.fixture(scope="module")
def batch(labelled_windows: list[Window]) -> Batch:
    (made,) = make_batches(labelled_windows[:2], image_size=MICRO.image_size)
    return made


@pytest.fixture(scope="module")
def run(policy: VideoPolicy, batch: Batch, text: CachedText) -> Predict:
    """Predicts video and actions; anything may be replaced."""

    def call(of: Batch = batch, sampling: SamplingConfig = SAMPLING, seed: int = 0, video: bool = True) -> Prediction:
        seeds = [seed + i for i in range(len(of))]
        return predict(policy, of, text=text, sampling=sampling, seeds=seeds, with_actions=True, with_video=video)

    return call


def frames(prediction: Prediction) -> Tensor:
    assert prediction.frames_BVFHWC is not None
    return prediction.frames_BVFHWC


def actions(prediction: Prediction) -> Tensor:
    assert prediction.actions_BAD is not None
    return prediction.actions_BAD


def test_shapes_are_those_of_the_batch(run: Predict, batch: Batch, policy: VideoPolicy, text: CachedText) -> None:
    prediction = run()
    assert frames(prediction).shape == batch.frames_BVFHWC.shape
    assert frames(prediction).dtype == torch.uint8
    assert frames(prediction).float().std() > 1
    assert actions(prediction).shape == (2, MICRO.horizon, 7)
    bare = predict(policy, batch, text=text, sampling=SAMPLING, seeds=[0, 1], with_actions=False)
    assert bare.actions_BAD is None
    assert torch.equal(frames(bare), frames(prediction))


def test_it_follows_from_the_seed(run: Predict) -> None:
    first, again, other = run(), run(), run(seed=1)
    assert torch.equal(frames(first), frames(again))
    assert torch.equal(actions(first), actions(again))
    assert not torch.equal(actions(first), actions(other))


def test_a_windows_noise_is_its_own(policy: VideoPolicy, batch: Batch, text: CachedText, run: Predict) -> None:
    whole = run()
    second = replace(
        batch,
        frames_BVFHWC=batch.frames_BVFHWC[1:],
        frame_mask_BF=batch.frame_mask_BF[1:],
        instructions=batch.instructions[1:],
        action_mask_BA=batch.action_mask_BA[1:],
    )
    alone = predict(policy, second, text=text, sampling=SAMPLING, seeds=[1], with_actions=True)
    torch.testing.assert_close(actions(alone)[0], actions(whole)[1], atol=1e-3, rtol=1e-3)
    assert (frames(alone)[0].int() - frames(whole)[1].int()).abs().max() <= 1


def test_actions_do_not_depend_on_decoding_the_video(run: Predict) -> None:
    without = run(video=False)
    assert without.frames_BVFHWC is None
    assert torch.equal(actions(without), actions(run()))


def test_only_the_first_frames_and_the_words_are_looked_at(run: Predict, batch: Batch) -> None:
    later = batch.frames_BVFHWC.clone()
    later[:, :, 1:] = 255 - later[:, :, 1:]
    blind = replace(
        batch,
        frames_BVFHWC=later,
        frame_mask_BF=torch.zeros_like(batch.frame_mask_BF),
        actions_BAD=torch.full((2, MICRO.horizon, 7), 9.0),
        action_mask_BA=~batch.action_mask_BA,
    )
    assert torch.equal(frames(run(blind)), frames(run()))
    assert torch.equal(actions(run(blind)), actions(run()))
    first = batch.frames_BVFHWC.clone()
    first[0, 0, 0] = 255 - first[0, 0, 0]
    assert not torch.equal(actions(run(replace(batch, frames_BVFHWC=first)))[0], actions(run())[0])
    assert not torch.equal(actions(run(replace(batch, instructions=("pour", "pour")))), actions(run()))


def one_step(policy: VideoPolicy, batch: Batch, text: CachedText) -> Callable[[float], tuple[Tensor, Tensor]]:
    """Latents and actions after one step from pure noise, as a function of the guidance scale."""

    def call(guidance: float) -> tuple[Tensor, Tensor]:
        sampling = replace(SAMPLING, num_steps=1, guidance=guidance)
        latents: list[Tensor] = []

        class Spy(VideoPolicy):
            """Keeps the latents instead of decoding them."""

            def decode_video(self, latents_BTCHW: Tensor, *, chunk: int = 8) -> Tensor:
                latents.append(latents_BTCHW)
                return super().decode_video(latents_BTCHW, chunk=chunk)

        spy = Spy(MICRO)
        spy.load_state_dict(policy.state_dict())
        got = predict(spy, batch, text=text, sampling=sampling, seeds=[0, 1], with_actions=True)
        return latents[0], actions(got)

    return call


def test_guidance_one_is_the_conditional_and_the_rest_is_linear(
    policy: VideoPolicy, batch: Batch, text: CachedText
) -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]

    def drawn(*shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    first = images_to_unit(batch.frames_BVFHWC[:, :, 0])
    condition = policy.encode_condition(
        first, text.encode(batch.instructions), layout=batch.layout, noise_BVCHW=drawn(*first.shape[1:])
    )
    scale = (1 + SAMPLING.sigma_max**2) ** 0.5
    noise = drawn(*condition.latents_BTCHW.shape[1:]) * scale
    action_noise = drawn(MICRO.horizon, 7) * scale

    @torch.no_grad()
    def clean(seen: Condition) -> tuple[Tensor, Tensor]:
        video, act = denoise(policy, noise, torch.full((2,), SAMPLING.sigma_max), seen, actions_BAD=action_noise)
        assert act is not None
        return video, act

    with_it, without = clean(condition), clean(condition.without())
    assert not torch.allclose(with_it[0], without[0], atol=1e-3)
    at = one_step(policy, batch, text)
    for guidance in (0.0, 1.0, 2.0, 3.5):
        for got, conditional, unconditional in zip(at(guidance), with_it, without, strict=True):
            expected = unconditional + guidance * (conditional - unconditional)
            torch.testing.assert_close(got, expected, atol=2e-3, rtol=1e-3)
    for got, conditional in zip(at(1.0), with_it, strict=True):
        torch.testing.assert_close(got, conditional, atol=1e-5, rtol=1e-5)


class Counting(VideoPolicy):
    """Counts the passes of the two networks."""

    def __init__(self, policy: VideoPolicy) -> None:
        super().__init__(MICRO)
        self.load_state_dict(policy.state_dict())
        self.calls: list[str] = []

    def run_unet(self, *args: object) -> object:  # type: ignore[override]
        self.calls.append("unet")
        return super().run_unet(*args)  # type: ignore[arg-type]

    def run_head(self, *args: object, **kwargs: object) -> Tensor:
        self.calls.append("head")
        return super().run_head(*args, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("video_steps", [1, 2, 3])
def test_actions_from_few_video_steps(
    policy: VideoPolicy, batch: Batch, text: CachedText, video_steps: int, guidance: float
) -> None:
    counting, passes = Counting(policy), 1 if guidance == 1 else 2
    sampling = replace(SAMPLING, video_steps=video_steps, guidance=guidance)
    got = predict(counting, batch, text=text, sampling=sampling, seeds=[0, 1], with_actions=True, with_video=False)
    assert actions(got).shape == (2, MICRO.horizon, 7)
    assert got.frames_BVFHWC is None
    assert counting.calls.count("unet") == passes * video_steps
    assert counting.calls.count("head") == passes * SAMPLING.num_steps


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_actions_from_one_video_step_are_those_of_a_schedule_of_one(
    policy: VideoPolicy, batch: Batch, text: CachedText, guidance: float
) -> None:
    together = replace(SAMPLING, num_steps=1, guidance=guidance)
    apart = replace(together, video_steps=1)
    whole, few = (
        predict(policy, batch, text=text, sampling=sampling, seeds=[3, 4], with_actions=True)
        for sampling in (together, apart)
    )
    torch.testing.assert_close(actions(few), actions(whole), atol=1e-4, rtol=1e-4)
    assert torch.equal(frames(few), frames(whole))


def test_the_video_does_not_depend_on_how_actions_are_read(run: Predict) -> None:
    few = run(sampling=replace(SAMPLING, video_steps=1))
    assert torch.equal(frames(few), frames(run()))
    assert not torch.equal(actions(few), actions(run()))
