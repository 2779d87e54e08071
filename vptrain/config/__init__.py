"""The configuration of a model and of a run: frozen, typed, and the same shape for every size.

`to_dict` and `from_dict` are inverse and are what checkpoints carry.
"""

from vptrain.config.model import (
    AutoencoderConfig,
    EncoderConfig,
    HeadConfig,
    ModelConfig,
    SamplingConfig,
    Stage,
    TextConfig,
    UNetConfig,
)
from vptrain.config.plain import differences, flattened, from_dict, overridden, to_dict
from vptrain.config.run import RunConfig, StageName

__all__ = [
    "AutoencoderConfig",
    "EncoderConfig",
    "HeadConfig",
    "ModelConfig",
    "RunConfig",
    "SamplingConfig",
    "Stage",
    "StageName",
    "TextConfig",
    "UNetConfig",
    "differences",
    "flattened",
    "from_dict",
    "overridden",
    "to_dict",
]
