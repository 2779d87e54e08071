"""One pass of the full-size model in float32 with random weights; prints sizes, seconds and peak memory as JSON.

    python benchmarks/model/full_size_forward.py

One window of the method's: 3 cameras x 8 frames at 256x256 and 32 actions. Its frames are encoded as targets and as
condition, then UNet, vision encoder and action head run once. Needs 13 GB, no GPU and no download.
"""

import json
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from vptrain.models.policy import VideoPolicy, seeded_policy
from vptrain.recipes.models import SVD

T = TypeVar("T")
PARTS = ("unet", "encoder", "head", "autoencoder")


def timed(seconds: dict[str, float], name: str, work: Callable[[], T]) -> T:
    """Does the work and notes how long it took."""
    begin = time.monotonic()
    result = work()
    seconds[name] = round(time.monotonic() - begin, 1)
    return result


def millions(policy: VideoPolicy) -> dict[str, float]:
    """Parameters of each part, in millions."""
    return {
        part: round(sum(parameter.numel() for parameter in getattr(policy, part).parameters()) / 1e6, 1)
        for part in PARTS
    }


@torch.no_grad()
def main() -> None:
    """Command line, without options."""
    seconds: dict[str, float] = {}
    policy = timed(seconds, "build", lambda: seeded_policy(SVD, seed=0).eval())
    generator = torch.Generator().manual_seed(0)
    size = SVD.image_size
    frames = 2 * torch.rand(1, len(SVD.cameras), SVD.num_frames, 3, size, size, generator=generator) - 1
    noise = torch.randn(frames[:, :, 0].shape, generator=generator)
    text = torch.randn(1, SVD.text.dim, generator=generator)
    actions = torch.randn(1, SVD.horizon, policy.head.out.out_channels, generator=generator)
    of_targets = torch.randn(1, *SVD.latent_shape(len(SVD.cameras) * SVD.num_frames), generator=generator)
    latents = timed(seconds, "encode_video", lambda: policy.encode_video(frames, noise=of_targets))
    condition = timed(
        seconds,
        "encode_condition",
        lambda: policy.encode_condition(frames[:, :, 0], text, layout=SVD.cameras, noise_BVCHW=noise),
    )
    video, predicted = timed(
        seconds, "forward", lambda: policy(latents, torch.zeros(1), condition, actions_BAD=actions)
    )
    if not (video.isfinite().all() and predicted.isfinite().all()):
        raise SystemExit("the outputs are not finite")
    result = {
        "million_parameters": millions(policy),
        "latents": list(latents.shape),
        "video": list(video.shape),
        "actions": list(predicted.shape),
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
