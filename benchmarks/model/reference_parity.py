"""A public checkpoint's whole policy against recorded outputs of the public implementation; prints errors as JSON.

    python benchmarks/model/reference_parity.py stage_2_trained.ckpt recorded.safetensors

The second file holds what went into the public implementation and what came out of it, for B windows of T = 25 frames.
Everything random is given, so that nothing is drawn here:

    in.latents       (B, T, 4, 32, 32)  clean, scaled by 0.18215     in.sigma         (B,)
    in.cond_latents  (B, T, 4, 32, 32)  unscaled                     in.noise         as in.latents
    in.text          (B, T, 1024)                                    in.action_noise  as in.actions
    in.actions       (B, 32, 7)         normalised

    out.video, out.actions                     raw network outputs
    out.feature_9 … out.feature_22             (B·T, C, H, W), the tapped features
    out.time_embedding, out.vision             (B, 1280), (B, 420, 1, 4, 4)
    out.denoised_video, out.denoised_actions   after preconditioning
    out.loss                                   the scalar of stage 2 and joint training

Any of the outputs may be left out. An error is the largest difference relative to the largest value.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from vptrain.models.policy import Condition, VideoPolicy
from vptrain.models.reference import converted_policy
from vptrain.objectives.edm import Preconditioning, like, reference_loss
from vptrain.recipes.models import model_config

BOUND = 2e-5


@torch.no_grad()
def outputs(policy: VideoPolicy, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Everything listed above that comes out, for everything that goes in."""
    p = Preconditioning.at(given["in.sigma"])
    condition = Condition(
        latents_BTCHW=given["in.cond_latents"], text_BTE=given["in.text"], layout=policy.config.cameras
    )
    latents = given["in.latents"] + given["in.noise"] * like(given["in.sigma"], given["in.noise"])
    noisy = given["in.actions"] + given["in.action_noise"] * like(given["in.sigma"], given["in.actions"])
    unet = policy.run_unet(latents * like(p.c_in, latents), p.c_noise, condition)
    vision = policy.vision(unet, layout=condition.layout)
    actions = policy.run_head(noisy * like(p.c_in, noisy), p.c_noise, vision_BE=vision)
    video = unet.video_BTCHW
    return {
        "out.video": video,
        "out.actions": actions,
        **{f"out.feature_{tap}": feature for tap, feature in unet.features.items()},
        "out.time_embedding": unet.time_embedding_BE,
        "out.vision": vision,
        "out.denoised_video": latents * like(p.c_skip, video) + video * like(p.c_out, video),
        "out.denoised_actions": noisy * like(p.c_skip, actions) + actions * like(p.c_out, actions),
        "out.loss": reference_loss(
            policy,
            given["in.latents"],
            condition,
            actions_BAD=given["in.actions"],
            sigma_B=given["in.sigma"],
            noise=given["in.noise"],
            action_noise=given["in.action_noise"],
        ),
    }


def errors(ours: Mapping[str, Tensor], recorded: Mapping[str, Tensor]) -> dict[str, float]:
    """The relative error of every recorded output."""
    names = [name for name in recorded if name.startswith("out.")]
    return {
        name: float(
            (ours[name].reshape(recorded[name].shape) - recorded[name]).abs().max() / recorded[name].abs().max()
        )
        for name in sorted(names)
    }


def main() -> None:
    """Command line; exit code 1 where an error exceeds the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="public .ckpt or .safetensors file")
    parser.add_argument("recorded", type=Path, help=".safetensors file of inputs and outputs")
    parser.add_argument("--model", default="svd", help="model size (default: svd)")
    args = parser.parse_args()
    policy, conversion = converted_policy(args.checkpoint, model_config(args.model))
    recorded = load_file(args.recorded)
    found = errors(outputs(policy.eval(), recorded), recorded)
    listed = {"missing": list(conversion.missing), "unexpected": list(conversion.unexpected)}
    print(json.dumps({"errors": found, "bound": BOUND, **listed}, indent=2))
    raise SystemExit(int(max(found.values()) > BOUND))


if __name__ == "__main__":
    main()
