import json
from dataclasses import replace

import pytest
from micro import MICRO, STAGE1

from vptrain.config import ModelConfig, RunConfig, from_dict, overridden, to_dict
from vptrain.errors import VptrainError
from vptrain.recipes.models import SVD, TINY, model_config
from vptrain.recipes.runs import run_config


@pytest.mark.parametrize("config", [MICRO, SVD, TINY], ids=lambda config: config.name)
def test_a_model_survives_json(config: ModelConfig) -> None:
    assert from_dict(ModelConfig, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("config", [STAGE1, replace(STAGE1, clip_norm=0.5, high_log_sigma_mean=3.0)])
def test_a_run_survives_json(config: RunConfig) -> None:
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_an_unknown_key_is_refused_at_any_depth() -> None:
    values = to_dict(MICRO)
    values["unet"]["dropout"] = 0.1
    with pytest.raises(VptrainError, match="UNetConfig has no dropout"):
        from_dict(ModelConfig, values)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(VptrainError, match="image size 96 is not a multiple of 64"):
        replace(MICRO, image_size=96)


def test_video_steps_are_steps_of_the_sampler() -> None:
    for video_steps in (0, 4):
        with pytest.raises(VptrainError, match=f"video_steps {video_steps} is not in"):
            replace(MICRO.sampling, video_steps=video_steps)


def test_the_full_size_is_the_methods() -> None:
    assert (SVD.latent_size, SVD.span, 1 + len(SVD.cameras) * SVD.num_frames) == (32, 32, 25)
    assert (SVD.sampling.num_steps, SVD.sampling.guidance, SVD.condition_noise) == (30, 2.0, 0.02)
    stage1, stage2 = run_config(SVD, "stage1"), run_config(SVD, "stage2")
    assert stage2.learning_rate == 5 * stage1.learning_rate
    assert (stage1.log_sigma_mean, stage1.log_sigma_std, stage1.drop_rate) == (1.0, 1.6, 0.1)


def test_a_model_size_that_is_not_there() -> None:
    assert model_config("svd") is SVD
    with pytest.raises(VptrainError, match="Choose one of"):
        model_config("huge")


def test_plain_fields_can_be_set_by_name() -> None:
    run = overridden(STAGE1, ["steps=7", "learning_rate=2e-4", "clip_norm=0.5", "drop=frame", "schedule=cosine"])
    assert run == replace(STAGE1, steps=7, learning_rate=2e-4, clip_norm=0.5, drop="frame", schedule="cosine")
    assert overridden(run, ["clip_norm=none"]).clip_norm is None
    assert overridden(MICRO, ["cameras=wrist,left"]).cameras == ("wrist", "left")
    assert overridden(run, ["trackers=none"]).trackers == ()
    assert overridden(run, ["precision=bf16", "autoencoder_precision=fp32"]).autoencoder_precision == "fp32"


@pytest.mark.parametrize(
    "assignment", ["pace=3", "steps", "steps=many", "drop=row", "color_jitter=yes", "trackers=paper"]
)
def test_what_cannot_be_set_is_refused(assignment: str) -> None:
    with pytest.raises(VptrainError):
        overridden(STAGE1, [assignment])
    with pytest.raises(VptrainError, match="cannot set 'unet=3'"):
        overridden(MICRO, ["unet=3"])


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("learning_rate=-1", "learning_rate -1.0 is less than 0"),
        ("learning_rate=nan", "learning_rate nan is not a finite number"),
        ("log_sigma_mean=nan", "log_sigma_mean nan is not a finite number"),
        ("evaluate_every=0", "evaluate_every 0 is less than 1"),
        ("num_workers=-1", "num_workers -1 is less than 0"),
        ("cpu_threads=0", "cpu_threads 0 is less than 1"),
        ("lora_rank=0", "lora_rank 0 is less than 1"),
        ("betas=0.9", r"betas \(0\.9,\) are not two numbers below 1"),
        ("betas=0.9,1", "are not two numbers below 1"),
        ("betas=-0.9,0.9", "betas -0.9 is less than 0"),
        ("drop_rate=2", "drop_rate 2.0 is above 1"),
        ("clip_norm=0", "clip_norm 0 would take every gradient away"),
        ("ema_decay=nan", "ema_decay nan is not between 0 and 1"),
        ("diverge_factor=nan", "diverge_factor nan is not above 1"),
    ],
)
def test_a_run_takes_no_number_that_cannot_be_meant(assignment: str, said: str) -> None:
    with pytest.raises(VptrainError, match=said):
        overridden(STAGE1, [assignment])


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("cameras=none", "cameras none are not distinct names"),
        ("cameras=wrist,wrist", "cameras wrist, wrist are not distinct names"),
        ("image_size=0", "image_size 0 is less than 1"),
        ("num_frames=0", "num_frames 0 is less than 1"),
        ("stride=-4", "stride -4 is less than 1"),
        ("horizon=0", "horizon 0 is less than 1"),
        ("condition_noise=inf", "condition_noise inf is not a finite number"),
    ],
)
def test_a_model_takes_no_number_that_cannot_be_meant(assignment: str, said: str) -> None:
    with pytest.raises(VptrainError, match=said):
        overridden(MICRO, [assignment])
