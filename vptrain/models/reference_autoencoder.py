"""Names of the public checkpoints for the autoencoder's parameters.

The encoder lies with the conditioner there (with its `quant_conv`), the decoder with the first stage. Attention
projections are 1x1 convolutions there and linear layers here: same numbers, two more dimensions of size one.
"""

import re

ENCODER_PREFIX = "conditioner.embedders.3.encoder."
DECODER_PREFIX = "first_stage_model."

_RESNET = {"conv_shortcut": "nin_shortcut"}
_TEMPORAL = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def autoencoder_reference_name(name: str, *, num_levels: int) -> str:
    """The public name of `encoder.…`, `decoder.…` or `quant_conv.…` of a `AutoencoderKLTemporalDecoder`.

    Raises:
        KeyError: the parameter has no counterpart.
    """
    part, _, rest = name.partition(".")
    prefix = DECODER_PREFIX if part == "decoder" else ENCODER_PREFIX
    if part == "quant_conv":
        return prefix + name
    module, _, kind = rest.rpartition(".")
    simple = {"conv_in": "conv_in", "conv_out": "conv_out", "conv_norm_out": "norm_out"}
    simple["time_conv_out"] = "conv_out.time_mix_conv"
    if module in simple:
        return f"{prefix}{part}.{simple[module]}.{kind}"
    if match := re.fullmatch(r"mid_block\.attentions\.0\.(.*)", module):
        return f"{prefix}{part}.mid.attn_1.{_ATTENTION[match[1]]}.{kind}"
    if match := re.fullmatch(r"mid_block\.resnets\.(\d)\.(.*)", module):
        return f"{prefix}{part}.mid.block_{int(match[1]) + 1}.{_resnet(match[2], kind)}"
    if match := re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|downsamplers|upsamplers)\.(\d)\.(.*)", module):
        level = int(match[2]) if match[1] == "down" else num_levels - 1 - int(match[2])
        place = f"{prefix}{part}.{match[1]}.{level}"
        if match[3] == "resnets":
            return f"{place}.block.{match[4]}.{_resnet(match[5], kind)}"
        return f"{place}.{match[1]}sample.conv.{kind}"
    raise KeyError(name)


def _resnet(module: str, kind: str) -> str:
    if module == "time_mixer":
        return kind
    if module.startswith("temporal_res_block."):
        return f"time_stack.{_TEMPORAL[module.removeprefix('temporal_res_block.')]}.{kind}"
    module = module.removeprefix("spatial_res_block.")
    return f"{_RESNET.get(module, module)}.{kind}"
