"""Checkpoints: a folder a step that holds all that `predict`, the next stage and an exact resume need.

```
RUN/checkpoints/step-00000600/
  checkpoint.json      format, model and run configuration, action statistics and space, data position, file hashes
  model.safetensors    every parameter of the policy, the autoencoder included
  optimizer.pt         the optimizer's state, for resuming
RUN/checkpoints/latest  the name of the newest one
```
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vptrain.config import ModelConfig, RunConfig, from_dict, to_dict
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.normalize import ActionNormalizer

FORMAT_VERSION = 1
KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPosition:
    """Where in the data a run is: the next global position, of which mixture (file and digest)."""

    mixture: str
    digest: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says of itself; `load_policy` reads the weights."""

    path: Path
    step: int
    model: ModelConfig
    run: RunConfig
    normalizer: ActionNormalizer | None
    data: DataPosition
    files: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a checkpoint folder, or the latest one of a run folder, and checks the hashes of its files.

        Raises:
            VptrainError: there is none, it is damaged, or of another format version.
        """
        folder = _resolve(path)
        try:
            values = json.loads((folder / "checkpoint.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise VptrainError(
                "this is neither a checkpoint nor a run with one.", path=path, hint="Train with `vptrain stage1` first."
            ) from None
        except ValueError as error:
            raise VptrainError(f"the checkpoint cannot be read ({error}).", path=folder) from error
        if values.get("format_version") != FORMAT_VERSION:
            raise VptrainError(
                f"checkpoint format {values.get('format_version')} where {FORMAT_VERSION} is expected.", path=folder
            )
        for name, expected in values["files"].items():
            if not (folder / name).is_file() or _sha256(folder / name) != expected:
                raise VptrainError(
                    f"{name} is missing or damaged.", path=folder, hint="Use an earlier checkpoint of the run."
                )
        statistics = values["actions"]
        try:
            model, run = from_dict(ModelConfig, values["model"]), from_dict(RunConfig, values["run"])
        except VptrainError as error:
            raise VptrainError(error.what, path=folder, hint="Use the version of vptrain that wrote it.") from error
        return cls(
            path=folder,
            step=values["step"],
            model=model,
            run=run,
            normalizer=None if statistics is None else ActionNormalizer.from_json(statistics),
            data=DataPosition(**values["data"]),
            files=values["files"],
        )

    def load_policy(self) -> VideoPolicy:
        """The policy with the checkpoint's weights, every tensor accounted for."""
        policy = VideoPolicy(self.model)
        try:
            policy.load_state_dict(load_file(self.path / "model.safetensors"))
        except (SafetensorError, RuntimeError) as error:
            problem = shorten(str(error), 300)
            raise VptrainError(f"the weights do not fit the configuration: {problem}", path=self.path) from error
        return policy

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state dict."""
        state: dict[str, Any] = torch.load(self.path / "optimizer.pt", map_location="cpu", weights_only=True)
        return state


def save_checkpoint(
    run_folder: Path,
    *,
    step: int,
    policy: VideoPolicy,
    run: RunConfig,
    normalizer: ActionNormalizer | None,
    data: DataPosition,
    optimizer_state: dict[str, Any],
) -> Path:
    """Writes a checkpoint under a temporary name, syncs and renames it, then prunes all but the newest `KEPT`."""
    root = run_folder / "checkpoints"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"step-{step:08d}"
    partial = root / f".partial-{folder.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        save_file(
            {name: tensor.contiguous() for name, tensor in policy.state_dict().items()}, partial / "model.safetensors"
        )
        _save_optimizer(optimizer_state, partial / "optimizer.pt")
        values = {
            "format_version": FORMAT_VERSION,
            "step": step,
            "model": to_dict(policy.config),
            "run": to_dict(run),
            "actions": None if normalizer is None else normalizer.to_json(),
            "data": {"mixture": data.mixture, "digest": data.digest, "position": data.position},
            "files": {name: _sha256(partial / name) for name in ("model.safetensors", "optimizer.pt")},
        }
        (partial / "checkpoint.json").write_text(json.dumps(values, indent=2) + "\n")
        for file in (*partial.iterdir(), partial):
            _sync(file)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise VptrainError(
            f"the checkpoint of step {step} cannot be written ({error}).",
            path=folder,
            hint="Make room, then run the same command with --resume; earlier checkpoints are whole.",
        ) from error
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    pointer = root / ".latest"
    pointer.write_text(folder.name + "\n")
    _sync(pointer)
    pointer.replace(root / "latest")
    _sync(root)
    for old in sorted(root.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)
    return folder


def _save_optimizer(state: dict[str, Any], path: Path) -> None:
    try:
        torch.save(state, path)
    except RuntimeError as error:  # which is how torch reports a full disk
        raise OSError(str(error)) from error


def _resolve(path: Path) -> Path:
    pointer = path / "checkpoints" / "latest"
    return path / "checkpoints" / pointer.read_text().strip() if pointer.is_file() else path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
