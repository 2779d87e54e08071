"""How each model size trains by default."""

from dataclasses import replace

from vptrain.config import ModelConfig, RunConfig, StageName

STAGES: tuple[StageName, ...] = ("stage1", "stage2", "joint")

_SVD = {
    # METHOD: Adam at 1e-5 (x5 for encoder and head), no schedule, batch 4 on each of 8 devices, about 369k steps
    "stage1": RunConfig(stage="stage1", steps=369_000, batch_size=32, learning_rate=1e-5, sample_every=10_000),
    "stage2": RunConfig(stage="stage2", steps=369_000, batch_size=32, learning_rate=5e-5, sample_every=10_000),
    "joint": RunConfig(stage="joint", steps=369_000, batch_size=32, learning_rate=1e-5, sample_every=10_000),
}

_TINY_STAGE1 = RunConfig(
    stage="stage1",
    steps=420,
    batch_size=4,
    learning_rate=1.5e-3,
    warmup_steps=60,
    schedule="cosine",
    clip_norm=1.0,
    color_jitter=False,
    drop_rate=0.0,  # the tiny model is sampled without guidance
    checkpoint_every=210,
    evaluate_every=105,
    sample_every=105,
    num_workers=1,
    cpu_threads=1,
)
_TINY = {
    "stage1": _TINY_STAGE1,
    "stage2": replace(
        _TINY_STAGE1,
        stage="stage2",
        steps=1536,
        batch_size=8,
        learning_rate=1e-3,
        high_log_sigma_mean=6.5,
        high_log_sigma_std=0.3,
        reuse=16,
        reuse_block=24,
        checkpoint_every=384,
        evaluate_every=384,
        sample_every=384,
    ),
    "joint": replace(_TINY_STAGE1, stage="joint", head_rate_factor=1.0),
}


def run_config(model: ModelConfig, stage: StageName) -> RunConfig:
    """The default way to train a stage of a model: that of its size, the method's for any other."""
    return (_TINY if model.name == "tiny" else _SVD)[stage]
