"""Text encoders: instructions in, one vector each out. Frozen, and every distinct instruction is encoded once."""

import math
import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from vptrain.config import TextConfig
from vptrain.errors import VptrainError

CLIP_REPOSITORY = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"


class TextEncoder(Protocol):
    """Encodes instructions."""

    def encode(self, instructions: Sequence[str]) -> Tensor:
        """(len(instructions), dim), float32, on the CPU."""
        ...


class HashedText:
    """The `tiny` model's text encoder: a bag of words and word pairs, each a fixed direction; no weights.

    Instructions that share words share directions; the empty instruction is the zero vector. Scaled so that an entry
    has unit variance, as CLIP's embedding roughly has.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, instructions: Sequence[str]) -> Tensor:
        """(len(instructions), dim), float32."""
        return torch.stack([self._encode(instruction) for instruction in instructions])

    def _encode(self, instruction: str) -> Tensor:
        words = re.findall(r"\w+", instruction.lower())
        terms = words + [f"{a} {b}" for a, b in pairwise(words)]
        total = torch.zeros(self.dim)
        for term in terms:
            total += torch.randn(self.dim, generator=torch.Generator().manual_seed(zlib.crc32(term.encode())))
        return total / math.sqrt(max(1, len(terms)))


class ClipText:
    """The full-size text encoder: OpenCLIP ViT-H/14's pooled, projected text embedding (1024, not normalised)."""

    def __init__(self, location: str, *, dim: int) -> None:
        from transformers import CLIPTextModelWithProjection, CLIPTokenizerFast

        try:
            self.tokenizer = CLIPTokenizerFast.from_pretrained(location)
            self.model = CLIPTextModelWithProjection.from_pretrained(location, dtype=torch.float32).eval()
        except OSError as error:
            raise VptrainError(
                f"the CLIP text encoder cannot be loaded: {str(error).splitlines()[0]}",
                path=location,
                hint="Give a folder with the model (--text-encoder PATH), or connect to the Hugging Face Hub.",
            ) from error
        if self.model.config.projection_dim != dim:
            raise VptrainError(
                f"the text encoder's embedding has {self.model.config.projection_dim} values, the model wants {dim}.",
                path=location,
            )

    @torch.no_grad()
    def encode(self, instructions: Sequence[str]) -> Tensor:
        """(len(instructions), dim), float32."""
        tokens = self.tokenizer(
            list(instructions),
            padding="max_length",
            truncation=True,
            max_length=self.model.config.max_position_embeddings,
            return_tensors="pt",
        )
        return torch.as_tensor(self.model(**tokens).text_embeds)


class CachedText:
    """Encodes each distinct instruction once and remembers it."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Tensor] = {}

    def encode(self, instructions: Sequence[str]) -> Tensor:
        """(len(instructions), dim), float32."""
        new = sorted(set(instructions) - set(self._known))
        if new:
            self._known.update(zip(new, self._encoder.encode(new), strict=True))
        return torch.stack([self._known[instruction] for instruction in instructions])


def load_text_encoder(config: TextConfig, *, location: str | None = None) -> CachedText:
    """The text encoder of a configuration; `location` is a folder or Hub repository for `clip`."""
    if config.kind == "hashed":
        return CachedText(HashedText(config.dim))
    return CachedText(ClipText(location or CLIP_REPOSITORY, dim=config.dim))
