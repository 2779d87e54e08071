"""Clips that hold an autoencoder's latents of their frames in place of pictures: what their members are called.

A member is `<camera>.<variant>.npy`: numbers for each frame of the clip, in whatever shape their maker gave them.
"""

from vpdata.schema import Clip

LATENTS = "latents"
"""What stands for such clips where the codec of others does."""


def latents_member(camera: str, variant: int) -> str:
    """The member with one variant of one camera's latents."""
    return f"{camera}.{variant}.npy"


def num_variants(clip: Clip) -> int:
    """How many variants of its first camera a clip holds."""
    first = f"{clip.episode.cameras[0].name}."
    return sum(member.name.startswith(first) for member in clip.members)
