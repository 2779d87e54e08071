"""What the loader's tests share: a specification, fingerprints of windows, and a copy of a data set to damage."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from vpdata.loader.batch import WindowBatch
from vpdata.loader.window import Window, WindowSpec, cut_window
from vpdata.mixture.mixture import Mixture
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset

SPEC = WindowSpec(num_frames=3, stride=2, horizon=4, height=32, width=32, cameras=("wrist", "left"))
STORED = WindowSpec(num_frames=3, stride=2, horizon=4, height=None, width=None, cameras=("wrist", "left"))


def fingerprint(window: Window) -> str:
    digest = hashlib.sha256()
    for name in (field.name for field in fields(window)):
        value = getattr(window, name)
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for key, part in parts:
            data = part.tobytes() + repr(part.shape).encode() if isinstance(part, np.ndarray) else repr(part).encode()
            digest.update(f"{name} {key} ".encode() + data)
    return digest.hexdigest()


def fingerprints(batches: Iterable[WindowBatch]) -> list[str]:
    return [fingerprint(window) for batch in batches for window in batch.windows]


def window_at(mixture: Mixture, position: int, spec: WindowSpec, *, attempt: int = 0) -> Window:
    """Straight from the data set, without a loader."""
    ref = mixture.locate(position, attempt=attempt)
    dataset = mixture.datasets[ref.dataset]
    return cut_window(
        dataset,
        dataset.clips[ref.clip],
        ref.start,
        spec,
        labelled=ref.labelled,
        source=mixture.spec.sources[ref.dataset].name,
        position=position,
    )


def damage(folder: Path, clip: Clip) -> None:
    """Flips one bit in the first camera of a clip."""
    name = f"{clip.episode.cameras[0].name}."
    member = next(member for member in clip.members if member.name.startswith(name))
    shard = folder / clip.shard
    shard.chmod(0o644)
    data = bytearray(shard.read_bytes())
    data[member.offset + member.size // 2] ^= 1
    shard.write_bytes(data)


def copy_of(datasets: Mapping[str, Path], target: Path, *names: str) -> dict[str, Dataset]:
    """Copies to damage, opened."""
    for name in names:
        shutil.copytree(datasets[name], target / name)
    return {name: Dataset.open(target / name) for name in names}
