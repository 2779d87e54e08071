"""vptrain: train a video model on clips, an action head on its features, and use both as a robot policy.

```python
policy = vptrain.load_policy("hf://user/drawer-policy")  # or a run's folder
policy.predict({"wrist": picture}, "open the drawer").actions  # float64 (horizon, D)
```
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vptrain.rollout.load import LoadedPolicy

__version__ = "0.1.0"


def load_policy(place: Path | str, *, device: str | None = None, text_encoder: str | None = None) -> "LoadedPolicy":
    """Loads a model: a run, one of its checkpoints, or `hf://USER/NAME[@REVISION]`; see `vptrain.rollout.load`."""
    from vptrain.rollout import load  # loads torch

    return load.load_policy(place, device=device, text_encoder=text_encoder)
