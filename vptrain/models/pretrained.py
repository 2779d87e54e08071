"""The weights that stage 1 starts from."""

from importlib import resources
from pathlib import Path
from textwrap import shorten

import torch
from diffusers import AutoencoderKLTemporalDecoder
from safetensors.torch import load_file
from torch import nn

from vptrain.config import ModelConfig
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy, seeded_policy
from vptrain.models.reference import load_reference, read_reference
from vptrain.models.unet import VideoUNet

EMBEDDED = "embedded"
RANDOM = "random"


def initial_policy(config: ModelConfig, *, seed: int) -> VideoPolicy:
    """A new policy: pretrained parts as `config.pretrained` says, the rest random from `seed`.

    Raises:
        VptrainError: the pretrained weights cannot be found, or do not fit the configuration.
    """
    policy = seeded_policy(config, seed=seed)
    if config.pretrained == EMBEDDED:
        with resources.as_file(resources.files("vptrain.models") / "tiny" / "autoencoder.safetensors") as file:
            _load(policy.autoencoder, load_file(file), where=file)
    elif config.pretrained.endswith((".safetensors", ".ckpt")):
        path = Path(config.pretrained)
        conversion = load_reference(policy, read_reference(path), where=path)
        lacking = [name for name in conversion.missing if name.startswith(("unet.", "autoencoder."))]
        if lacking:
            raise VptrainError(f"{len(lacking)} pretrained tensors are missing, such as {lacking[0]}.", path=path)
        if conversion.unexpected:
            raise VptrainError(
                f"{len(conversion.unexpected)} pretrained tensors are of no use to this model, such as "
                f"{conversion.unexpected[0]}.",
                path=path,
                hint="Choose the --model that they are for.",
            )
    elif config.pretrained != RANDOM:
        for part, kind, subfolder in (
            (policy.unet, VideoUNet, "unet"),
            (policy.autoencoder, AutoencoderKLTemporalDecoder, "vae"),
        ):
            _load(
                part,
                _download(kind, config.pretrained, subfolder).state_dict(),
                where=f"{config.pretrained}/{subfolder}",
            )
    return policy


def _download(kind: type[nn.Module], location: str, subfolder: str) -> nn.Module:
    try:
        module: nn.Module = kind.from_pretrained(  # type: ignore[attr-defined]
            location, subfolder=subfolder, low_cpu_mem_usage=False
        )
    except OSError as error:
        raise VptrainError(
            f"the pretrained {subfolder} cannot be loaded: {str(error).splitlines()[0]}",
            path=location,
            hint="Give a folder in diffusers' layout (--pretrained PATH), or connect to the Hugging Face Hub.",
        ) from error
    return module


def _load(module: nn.Module, state: dict[str, torch.Tensor], *, where: str | Path) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise VptrainError(
            f"the pretrained weights do not fit the model's configuration: {shorten(str(error), 300)}",
            path=where,
            hint="Choose the --model that they are for.",
        ) from error
