import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from vptrain.config import TextConfig
from vptrain.errors import VptrainError
from vptrain.models.text import CachedText, HashedText, load_text_encoder

INSTRUCTIONS = ("close the right drawer", "open the left drawer", "")


def test_hashed_text_is_the_same_in_every_process() -> None:
    code = (
        "from vptrain.models.text import HashedText; import json\n"
        f"print(json.dumps(HashedText(16).encode({INSTRUCTIONS!r}).tolist()))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert json.loads(printed) == HashedText(16).encode(INSTRUCTIONS).tolist()


def test_hashed_text_knows_words_and_their_order() -> None:
    encoder = HashedText(512)
    close, same, other, reordered, nothing = encoder.encode(
        ["close the drawer", "Close the drawer!", "pour some milk", "drawer the close", "  "]
    )
    assert torch.equal(close, same)
    assert not nothing.any()
    assert not torch.equal(close, reordered)

    def likeness(a: Tensor, b: Tensor) -> float:
        return float(torch.nn.functional.cosine_similarity(a, b, dim=0))

    assert likeness(close, reordered) > 0.4 > abs(likeness(close, other)) + 0.2
    assert abs(close.std().item() - 1) < 0.15


class Counting:
    """An encoder that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, instructions: Sequence[str]) -> Tensor:
        self.asked += instructions
        return torch.tensor([[float(len(instruction))] for instruction in instructions])


def test_every_instruction_is_encoded_once() -> None:
    encoder = Counting()
    cached = CachedText(encoder)
    assert cached.encode(["open", "shut it", "open"]).flatten().tolist() == [4, 7, 4]
    assert cached.encode(["shut it", "push", "open"]).flatten().tolist() == [7, 4, 4]
    assert sorted(encoder.asked) == ["open", "push", "shut it"]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP text model of two layers and a tokenizer that knows the letters and `the`."""
    folder = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "th", "the</w>", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    CLIPTokenizer(vocab=vocabulary, merges=[("t", "h"), ("th", "e</w>")]).save_pretrained(folder)
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        projection_dim=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=40,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    torch.manual_seed(0)
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder


@torch.no_grad()
def test_clip_text_is_what_transformers_computes(clip_folder: Path) -> None:
    encoded = load_text_encoder(TextConfig(kind="clip", dim=24), location=str(clip_folder)).encode(INSTRUCTIONS)
    assert encoded.shape == (3, 24)
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder)
    model = CLIPTextModelWithProjection.from_pretrained(clip_folder)
    for got, instruction in zip(encoded, INSTRUCTIONS, strict=True):
        tokens = tokenizer([instruction], return_tensors="pt")  # alone, not padded
        torch.testing.assert_close(got, model(**tokens).text_embeds[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(encoded[0], encoded[1])


def test_a_long_instruction_is_cut_not_refused(clip_folder: Path) -> None:
    encoder = load_text_encoder(TextConfig(kind="clip", dim=24), location=str(clip_folder))
    assert encoder.encode(["push " * 100]).isfinite().all()


def test_a_missing_clip_model_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(VptrainError, match="--text-encoder") as caught:
        load_text_encoder(TextConfig(kind="clip", dim=24), location=str(tmp_path / "nothing"))
    assert caught.value.path == str(tmp_path / "nothing")
    assert len(str(caught.value).splitlines()) == 1


def test_a_clip_model_of_another_width_is_refused(clip_folder: Path) -> None:
    with pytest.raises(VptrainError, match="24 values, the model wants 1024"):
        load_text_encoder(TextConfig(kind="clip", dim=1024), location=str(clip_folder))
