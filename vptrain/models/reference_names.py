"""Names of the method's public checkpoints for our parameters, and back.

Every rule is a pattern over our names; a parameter that no rule covers is an error, never dropped.
"""

import re

PREFIX = "model.diffusion_model."

_RES = {
    "spatial_res_block.norm1": "in_layers.0",
    "spatial_res_block.conv1": "in_layers.2",
    "spatial_res_block.time_emb_proj": "emb_layers.1",
    "spatial_res_block.norm2": "out_layers.0",
    "spatial_res_block.conv2": "out_layers.3",
    "spatial_res_block.conv_shortcut": "skip_connection",
    "temporal_res_block.norm1": "time_stack.in_layers.0",
    "temporal_res_block.conv1": "time_stack.in_layers.2",
    "temporal_res_block.time_emb_proj": "time_stack.emb_layers.1",
    "temporal_res_block.norm2": "time_stack.out_layers.0",
    "temporal_res_block.conv2": "time_stack.out_layers.3",
    "time_mixer": "time_mixer",
}
_STEM = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION = {
    "temporal_transformer_blocks": "time_stack",
    "time_pos_embed.linear_1": "time_pos_embed.0",
    "time_pos_embed.linear_2": "time_pos_embed.2",
}
_BLOCK = {
    "conv1": "conv1.0",
    "norm1": "conv1.1",
    "emb_proj": "emb_layers.1",
    "conv2": "conv2.0",
    "norm2": "conv2.1",
    "conv3": "conv3.0",
    "norm3": "conv3.1",
    "shortcut.0": "downsample.0",
    "shortcut.1": "downsample.1",
}
_FILM = {
    "first.0": "blocks.0.block.0",
    "first.1": "blocks.0.block.1",
    "second.0": "blocks.1.block.0",
    "second.1": "blocks.1.block.1",
    "film": "cond_encoder.1",
    "residual": "residual_conv",
}
_FIRST_FUSION_LAYER = 8


def reference_name(name: str, *, layers_per_block: int, num_fusion: int = 5) -> str:
    """The public name of one of our parameters.

    Args:
        name: `unet.…`, `encoder.…` or `head.…` as in a policy's state dict.
        layers_per_block: of the UNet.
        num_fusion: fusion stages of the vision encoder.

    Raises:
        KeyError: the parameter has no counterpart.
    """
    part, _, rest = name.partition(".")
    if part == "unet":
        return PREFIX + _unet(rest, layers_per_block)
    if part == "encoder":
        return PREFIX + "vision_encoder." + _encoder(rest, num_fusion)
    if part == "head":
        return PREFIX + "pose_pred_net." + _head(rest)
    raise KeyError(name)


def _unet(name: str, layers: int) -> str:
    module, _, kind = name.rpartition(".")
    if module in _STEM:
        return f"{_STEM[module]}.{kind}"
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        block = 1 if match[1] == "attentions" else 2 * int(match[2])
        return f"middle_block.{block}." + _unet_leaf(match[1], match[3])
    if match := re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name):
        direction, level, group, index, leaf = match[1], int(match[2]), match[3], int(match[4]), match[5]
        if group == "downsamplers":
            return f"input_blocks.{(level + 1) * (layers + 1)}.0.{leaf.replace('conv', 'op')}"
        position = level * (layers + 1) + index
        if group == "upsamplers":
            slot = 1 if level == 0 else 2
            return f"output_blocks.{level * (layers + 1) + layers}.{slot}.{leaf}"
        place = f"input_blocks.{position + 1}" if direction == "down" else f"output_blocks.{position}"
        return f"{place}.{1 if group == 'attentions' else 0}." + _unet_leaf(group, leaf)
    raise KeyError(name)


def _unet_leaf(group: str, leaf: str) -> str:
    return _replace_first(leaf, _RES if group == "resnets" else _ATTENTION, keep=group == "attentions")


def _replace_first(name: str, table: dict[str, str], *, keep: bool = False) -> str:
    for ours, theirs in table.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    if keep:
        return name
    raise KeyError(name)


def _encoder(name: str, num_fusion: int) -> str:
    if name.startswith("norm."):
        return name
    if match := re.fullmatch(r"towers\.(\d+)\.(?:stem|(taps|merged|tail)\.(\d+))\.(\d+)\.(.*)", name):
        tower, group, index, block, leaf = int(match[1]) + 1, match[2], int(match[3] or 0), match[4], match[5]
        number = {None: 1, "taps": index + 2, "merged": index + 2, "tail": index + 6}[group]
        suffix = "_cat" if group == "taps" else ""
        return f"layer{number}_{tower}{suffix}.{block}." + _replace_first(leaf, _BLOCK)
    if match := re.fullmatch(r"(fusion|body)\.(\d+)\.(\d+)\.(.*)", name):
        number = _FIRST_FUSION_LAYER + int(match[2]) + (num_fusion if match[1] == "body" else 0)
        return f"layer{number}.{match[3]}." + _replace_first(match[4], _BLOCK)
    raise KeyError(name)


def _head(name: str) -> str:
    simple = {"time_proj": "diffusion_step_encoder.1", "final": "final_conv.0.block", "out": "final_conv.1"}
    for ours, theirs in simple.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    if match := re.fullmatch(r"(down|up)\.(\d+)\.(\d+)\.(.*)", name):
        return f"{match[1]}_modules.{match[2]}.{match[3]}." + _replace_first(match[4], _FILM)
    if match := re.fullmatch(r"mid\.(\d+)\.(.*)", name):
        return f"mid_modules.{match[1]}." + _replace_first(match[2], _FILM)
    if match := re.fullmatch(r"(down|up)samplers\.(\d+)\.(.*)", name):
        return f"{match[1]}_modules.{match[2]}.2.conv.{match[3]}"
    raise KeyError(name)
