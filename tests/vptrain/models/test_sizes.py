"""The full-size model on the meta device: its size and its names, without its memory."""

from pathlib import Path

import pytest
import torch

from vptrain.models.policy import VideoPolicy
from vptrain.models.reference import load_reference, to_reference
from vptrain.models.reference_names import reference_name
from vptrain.recipes.models import SVD


@pytest.fixture(scope="module")
def svd() -> VideoPolicy:
    with torch.device("meta"):
        return VideoPolicy(SVD)


@pytest.mark.parametrize(("part", "millions"), [("unet", 1524.6), ("encoder", 205.8), ("head", 161.4)])
def test_number_of_parameters(svd: VideoPolicy, part: str, millions: float) -> None:
    count = sum(parameter.numel() for parameter in getattr(svd, part).parameters())
    assert round(count / 1e6, 1) == millions


def test_every_parameter_has_a_public_name_of_its_own(svd: VideoPolicy) -> None:
    names = [name for name in svd.state_dict() if not name.startswith("autoencoder.")]
    public = [reference_name(name, layers_per_block=SVD.unet.layers_per_block) for name in names]
    assert len(set(public)) == len(names)
    assert sum(name.startswith("unet.") for name in names) == 1428


def test_every_name_maps_to_the_public_layout_and_back_the_autoencoders_too(svd: VideoPolicy) -> None:
    public = to_reference(svd)
    conversion = load_reference(svd, public, where=Path("meta"))
    assert conversion.converted == len(svd.state_dict())
    assert (conversion.missing, conversion.unexpected) == ((), ())
    copies = {name for name in public if name.startswith("first_stage_model.encoder.")}
    assert sum(conversion.left_out.values()) == len(copies) == len(public) - conversion.converted


def test_a_parameter_without_a_public_name_is_an_error() -> None:
    for name in ("autoencoder.encoder.conv_in.weight", "unet.new.weight", "encoder.towers.0.extra.0.0.conv1.weight"):
        with pytest.raises(KeyError):
            reference_name(name, layers_per_block=2)


def test_the_feature_vector_is_as_the_method_says(svd: VideoPolicy) -> None:
    assert svd.encoder.output_shape == (420, 1, 4, 4)
    assert svd.head.out.out_channels == 7
