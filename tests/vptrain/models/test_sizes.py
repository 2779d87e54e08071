"""The full-size model on the meta device: its size and its names, without its memory."""

import pytest
import torch

from vptrain.models.policy import VideoPolicy
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


def test_a_parameter_without_a_public_name_is_an_error() -> None:
    for name in ("autoencoder.encoder.conv_in.weight", "unet.new.weight", "encoder.towers.0.extra.0.0.conv1.weight"):
        with pytest.raises(KeyError):
            reference_name(name, layers_per_block=2)


def test_the_feature_vector_is_as_the_method_says(svd: VideoPolicy) -> None:
    assert svd.encoder.output_shape == (420, 1, 4, 4)
    assert svd.head.out.out_channels == 7
