"""Low-rank adapters of the UNet's attention (Hu et al. 2021): put into a UNet, and merged with its weights."""

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer

from vptrain.models.unet import VideoUNet

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


def add_adapters(unet: VideoUNet, *, rank: int, alpha: int, seed: int) -> None:
    """Puts adapters that change nothing yet beside all attention projections; they have gradients, the rest has not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS)), unet)


def merge_adapters(unet: VideoUNet) -> None:
    """Adds every adapter to the weight beside which it stands; names and shapes are again those without adapters."""
    for name, layer in list(unet.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            parent, _, child = name.rpartition(".")
            setattr(unet.get_submodule(parent), child, layer.get_base_layer())


def is_adapter(name: str) -> bool:
    """Whether a parameter of that name is an adapter's."""
    return ".lora_" in name
