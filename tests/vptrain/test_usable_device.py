"""Which devices a user may name, on a machine with or without a GPU."""

import pytest
import torch

from vptrain.device import usable_device
from vptrain.errors import VptrainError


def test_the_default_is_there() -> None:
    assert usable_device() == ("cuda" if torch.cuda.is_available() else "cpu")
    assert usable_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["gpu", "mps", "meta", "", "cuda:x"])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(VptrainError, match=f"there is no device '{name}'. Say --device cpu"):
        usable_device(name)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(VptrainError, match=r"there is no GPU|there is no cuda:"):
        usable_device(f"cuda:{num_gpus}")
