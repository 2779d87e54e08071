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
from vptrain.rollout.policy import Prediction, predict, predict_actions

SAMPLING = MICRO.sampling
Predict = Callable[..., Prediction]


@pytest.fixture(scope="module")
def batch(labelled_windows: list[Window]) -> Batch:
    (made,) = make_batches(labelled_windows[:2])
    return made


@pytest.fixture(scope="module")
def run(policy: VideoPolicy, batch: Batch, text: CachedText) -> Predict:
    """Predicts video and actions; anything may be replaced."""

    def call(of: Batch = batch, sampling: SamplingConfig = SAMPLING, seed: int = 0, video: bool = True) -> Prediction:
        return predict(policy, of, text=text, sampling=sampling, seed=seed, with_actions=True, with_video=video)

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
    bare = predict(policy, batch, text=text, sampling=SAMPLING, seed=0, with_actions=False)
    assert bare.actions_BAD is None
    assert torch.equal(frames(bare), frames(prediction))


def test_it_follows_from_the_seed(run: Predict) -> None:
    first, again, other = run(), run(), run(seed=1)
    assert torch.equal(frames(first), frames(again))
    assert torch.equal(actions(first), actions(again))
    assert not torch.equal(actions(first), actions(other))


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
    """Where one step from pure noise lands, and what the denoiser says there with and without the condition."""

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
        got = predict(spy, batch, text=text, sampling=sampling, seed=0, with_actions=True)
        return latents[0], actions(got)

    return call


def test_guidance_one_is_the_conditional_and_the_rest_is_linear(
    policy: VideoPolicy, batch: Batch, text: CachedText
) -> None:
    generator = torch.Generator().manual_seed(0)
    condition = policy.encode_condition(
        images_to_unit(batch.frames_BVFHWC[:, :, 0]),
        text.encode(batch.instructions),
        layout=batch.layout,
        generator=generator,
    )
    scale = (1 + SAMPLING.sigma_max**2) ** 0.5
    noise = torch.randn(condition.latents_BTCHW.shape, generator=generator) * scale
    action_noise = torch.randn(2, MICRO.horizon, 7, generator=generator) * scale

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


def test_actions_from_few_video_steps(policy: VideoPolicy, batch: Batch, text: CachedText) -> None:
    calls: list[str] = []

    class Spy(VideoPolicy):
        """Counts the passes of the two networks."""

        def run_unet(self, *args: object) -> object:  # type: ignore[override]
            calls.append("unet")
            return super().run_unet(*args)  # type: ignore[arg-type]

        def run_head(self, *args: object, **kwargs: object) -> Tensor:
            calls.append("head")
            return super().run_head(*args, **kwargs)  # type: ignore[arg-type]

    spy = Spy(MICRO)
    spy.load_state_dict(policy.state_dict())
    for video_steps in (1, 2, 3):
        calls.clear()
        got = predict_actions(spy, batch, text=text, sampling=SAMPLING, seed=0, video_steps=video_steps)
        assert got.shape == (2, MICRO.horizon, 7)
        assert calls.count("unet") == video_steps
        assert calls.count("head") == SAMPLING.num_steps
    for video_steps in (0, 4):
        with pytest.raises(ValueError, match="video_steps"):
            predict_actions(policy, batch, text=text, sampling=SAMPLING, seed=0, video_steps=video_steps)


def test_actions_from_one_video_step_are_those_of_a_schedule_of_one(
    policy: VideoPolicy, batch: Batch, text: CachedText
) -> None:
    for guidance in (1.0, 2.0):
        single = replace(SAMPLING, num_steps=1, guidance=guidance)
        whole = predict(policy, batch, text=text, sampling=single, seed=3, with_actions=True, with_video=False)
        few = predict_actions(policy, batch, text=text, sampling=single, seed=3, video_steps=1)
        torch.testing.assert_close(few, actions(whole), atol=1e-4, rtol=1e-4)
