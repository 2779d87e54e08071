"""Public Video Policy and Stable Video Diffusion checkpoints in, our policies out, and back.

Every tensor is accounted for: it is converted, or left out for a stated reason, or reported as unexpected or missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vptrain.config import ModelConfig
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy, seeded_policy
from vptrain.models.reference_autoencoder import DECODER_PREFIX, ENCODER_PREFIX, autoencoder_reference_name
from vptrain.models.reference_names import reference_name

FIRST_STAGE_ENCODER = DECODER_PREFIX + "encoder."

_LEFT_OUT = {
    FIRST_STAGE_ENCODER: "a second copy of the encoder, with quant_conv folded into its last convolution",
    ENCODER_PREFIX + "decoder.": "the condition's encoder needs no decoder",
    ENCODER_PREFIX + "post_quant_conv.": "the condition's encoder needs no decoder",
    ENCODER_PREFIX + "loss.": "of the autoencoder's training",
    "conditioner.embedders.0.": "the CLIP encoder, which is loaded by itself (--text-encoder)",
    "model_ema.": "a moving average; the weights themselves are converted",
    "denoiser.": "constants of the noise schedule",
    "first_stage_model.loss.": "of the autoencoder's training",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What became of every tensor.

    Attributes:
        converted: how many of the policy's tensors came from the file.
        left_out: reason -> how many tensors of the file were left out for it.
        missing: the policy's tensors that the file lacks, by our names; they keep their initial values.
        unexpected: the file's tensors that nothing asks for.
    """

    converted: int
    left_out: Mapping[str, int]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def reference_names(policy: VideoPolicy) -> dict[str, str]:
    """Our name -> public name, for every parameter of a policy."""
    config = policy.config
    names = {}
    for name in policy.state_dict():
        part, _, rest = name.partition(".")
        if part == "autoencoder":
            num_levels = len(config.autoencoder.block_out_channels)
            names[name] = autoencoder_reference_name(rest, num_levels=num_levels)
        else:
            names[name] = reference_name(
                name, layers_per_block=config.unet.layers_per_block, num_fusion=len(config.encoder.fusion)
            )
    return names


def read_reference(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.ckpt` (never unpickling code) or `.safetensors` file.

    Raises:
        VptrainError: the file cannot be read, or is neither.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise VptrainError("there is no such file.", path=path) from None
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise VptrainError(f"the checkpoint cannot be read ({error}).", path=path) from error
    except UnpicklingError as error:
        raise VptrainError(
            f"the checkpoint holds more than tensors, and is not unpickled for safety ({shorten(str(error), 300)}).",
            path=path,
            hint="Save its state_dict alone, best as .safetensors.",
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise VptrainError("the checkpoint has no state_dict.", path=path)
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def load_reference(policy: VideoPolicy, state: Mapping[str, Tensor], *, where: Path) -> Conversion:
    """Puts a public state dict into a policy, in place.

    Raises:
        VptrainError: a tensor has another shape than the configuration says.
    """
    names = reference_names(policy)
    ours = policy.state_dict()
    found = {name: public for name, public in names.items() if public in state}
    for name, public in found.items():
        if _size(state[public]) != _size(ours[name]):
            raise VptrainError(
                f"{public} has shape {tuple(state[public].shape)}, the configuration says {tuple(ours[name].shape)}.",
                path=where,
                hint="Is this a checkpoint of another model size?",
            )
        ours[name].copy_(state[public].reshape(ours[name].shape))
    left_out: dict[str, int] = {}
    unexpected = []
    for public in sorted(set(state) - set(found.values())):
        reason = next((reason for prefix, reason in _LEFT_OUT.items() if public.startswith(prefix)), None)
        if reason is None:
            unexpected.append(public)
        else:
            left_out[reason] = left_out.get(reason, 0) + 1
    missing = tuple(name for name in names if name not in found)
    return Conversion(converted=len(found), left_out=left_out, missing=missing, unexpected=tuple(unexpected))


def _size(tensor: Tensor) -> list[int]:
    """The shape but for dimensions of one, which is where the two layouts differ."""
    return [length for length in tensor.shape if length != 1]


def to_reference(policy: VideoPolicy) -> dict[str, Tensor]:
    """The policy as a public state dict: also the first stage's copy of the encoder, but no CLIP encoder."""
    ours = policy.state_dict()
    state = {}
    for name, public in reference_names(policy).items():
        tensor = ours[name]
        if ".mid.attn_1." in public and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        state[public] = tensor.contiguous()
    encoder = {name: tensor for name, tensor in state.items() if name.startswith(ENCODER_PREFIX + "encoder.")}
    for name, tensor in encoder.items():
        state[DECODER_PREFIX + name.removeprefix(ENCODER_PREFIX)] = tensor.clone()
    quant = state[ENCODER_PREFIX + "quant_conv.weight"][:, :, 0, 0]
    last = FIRST_STAGE_ENCODER + "conv_out."
    state[last + "weight"] = torch.einsum("oi,ichw->ochw", quant, state[last + "weight"]).contiguous()
    state[last + "bias"] = quant @ state[last + "bias"] + state[ENCODER_PREFIX + "quant_conv.bias"]
    return state


def write_reference(policy: VideoPolicy, path: Path) -> int:
    """Writes `to_reference` as `.safetensors`, atomically; returns the number of tensors."""
    state = to_reference(policy)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, partial)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise VptrainError(f"the file cannot be written ({error}).", path=path) from error
    return len(state)


def converted_policy(path: Path, config: ModelConfig, *, seed: int = 0) -> tuple[VideoPolicy, Conversion]:
    """A policy of the given configuration with a public file's weights; what the file lacks is random from `seed`."""
    policy = seeded_policy(config, seed=seed)
    return policy, load_reference(policy, read_reference(path), where=path)
