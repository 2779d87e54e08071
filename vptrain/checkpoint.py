"""Checkpoints: a folder a step that holds all that `predict`, the next stage and an exact resume need.

A published one (see `vptrain.hub`) lies on the Hub instead, without the optimizer's state: its `model.safetensors` is
what `load_policy` gives, averaged weights in their places and adapters merged.

```
RUN/checkpoints/step-00000600/
  checkpoint.json      format, model and run configuration, action statistics and space, data position, file hashes,
                       and a hash of these
  model.safetensors    every parameter of the policy, the autoencoder and adapters included
  average.safetensors  the moving average of the trained weights, where the run keeps one
  optimizer.pt         the optimizer's state, for resuming
RUN/checkpoints/latest  the name of the newest one
```
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vpdata.shards.files import sha256_of, sync
from vptrain.config import ModelConfig, RunConfig, from_dict, to_dict
from vptrain.errors import VptrainError
from vptrain.models.lora import add_adapters, merge_adapters
from vptrain.models.policy import VideoPolicy
from vptrain.normalize import ActionNormalizer
from vptrain.snapshot import Snapshot, fetch, is_hub

FORMAT_VERSION = 3
MODEL, AVERAGE, OPTIMIZER = "model.safetensors", "average.safetensors", "optimizer.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPosition:
    """Where in the data a run is: the next global position, of which mixture (file and digest).

    `latents` is the digest of the latents that it trains on, None for pictures.
    """

    mixture: str
    digest: str
    position: int
    latents: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A run that has trained the weights before: its stage and steps, its mixture (file and digest), and its place.

    `place` is that of its checkpoint: a folder, or the URL of the Hub with the commit.
    """

    stage: str
    step: int
    mixture: str
    digest: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says of itself; `load_policy` reads the weights.

    Attributes:
        place: where it was opened: its folder, or the URL of the Hub with the commit.
        before: the runs that the weights went through before this one, the first one first.
        published: whether it is one of those, see the top of this module.
    """

    path: Path
    step: int
    model: ModelConfig
    run: RunConfig
    normalizer: ActionNormalizer | None
    data: DataPosition
    files: dict[str, str]
    place: str
    before: tuple[Training, ...]
    published: bool

    @classmethod
    def open(cls, path: Path | str, *, check: bool = True) -> Self:
        """Opens a checkpoint, and checks the hashes of its files unless told not to.

        Args:
            path: its folder; a run's, for the latest one; or its URL on the Hub, `hf://USER/NAME[@REVISION]`.
            check: whether to read all of its files.

        Raises:
            VptrainError: there is none, it is damaged, or of another format version.
            HubError: the Hub cannot be read.
        """
        snapshot = fetch(path) if is_hub(path) else None
        folder = _resolve(Path(path)) if snapshot is None else snapshot.folder
        try:
            values = json.loads((folder / "checkpoint.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            if _steps(folder.parent):
                raise VptrainError("checkpoint.json is missing.", path=folder, hint=_earlier(folder)) from None
            raise VptrainError(
                "this is neither a checkpoint nor a run with one.", path=path, hint="Train with `vptrain stage1` first."
            ) from None
        except ValueError as error:
            what = f"the checkpoint cannot be read ({error})."
            raise VptrainError(what, path=folder, hint=_earlier(folder)) from error
        try:
            return cls._of(values, folder, snapshot, check=check)
        except (AttributeError, KeyError, TypeError) as error:
            what = f"checkpoint.json is damaged ({type(error).__name__}: {error})."
            raise VptrainError(what, path=folder, hint=_earlier(folder)) from error

    @classmethod
    def _of(cls, values: dict[str, Any], folder: Path, snapshot: Snapshot | None, *, check: bool) -> Self:
        """What checkpoint.json says, once the files that it names are checked."""
        if values.get("format_version") != FORMAT_VERSION:
            raise VptrainError(
                f"checkpoint format {values.get('format_version')} where {FORMAT_VERSION} is expected.", path=folder
            )
        if values.get("sha256") != _sha256_of_values(values):
            raise VptrainError("checkpoint.json is damaged, or was edited.", path=folder, hint=_earlier(folder))
        for name, expected in values["files"].items():
            if not (folder / name).is_file() or (check and sha256_of(folder / name) != expected):
                hint = _earlier(folder)
                if snapshot is not None:
                    hint = f"Remove it with `hf cache rm model/{snapshot.repo_id}`, then it is fetched anew."
                raise VptrainError(f"{name} is missing or damaged.", path=folder, hint=hint)
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
            place=str(folder) if snapshot is None else snapshot.url,
            before=tuple(Training(**run) for run in values.get("before", ())),
            published=values.get("published", False),
        )

    @property
    def history(self) -> tuple[Training, ...]:
        """The runs that the weights went through, this one the last."""
        mixture, digest = self.data.mixture, self.data.digest
        this = Training(stage=self.run.stage, step=self.step, mixture=mixture, digest=digest, place=self.place)
        return (*self.before, this)

    def load_policy(self) -> VideoPolicy:
        """The policy to use: averaged weights where the run keeps them, adapters merged, every tensor accounted for."""
        policy = self.load_training_policy()
        average = self.load_average()
        if average is not None:
            policy.load_state_dict({**policy.state_dict(), **average})
        merge_adapters(policy.unet)
        return policy

    def load_training_policy(self) -> VideoPolicy:
        """The policy as training left it, with adapters where the run trains those."""
        policy = VideoPolicy(self.model)
        if not self.published:
            policy = training_policy(policy, self.run)
        try:
            policy.load_state_dict(load_file(self.path / MODEL))
        except (SafetensorError, RuntimeError) as error:
            problem = shorten(str(error), 300)
            raise VptrainError(f"the weights do not fit the configuration: {problem}", path=self.path) from error
        return policy

    def load_average(self) -> dict[str, Tensor] | None:
        """The moving average of the trained weights by name, None where the run keeps none."""
        return load_file(self.path / AVERAGE) if AVERAGE in self.files else None

    def optimizer_state(self) -> dict[str, Any]:
        """What `save_checkpoint` was given.

        Raises:
            VptrainError: it was published without.
        """
        if self.published:
            raise VptrainError(
                "a published model cannot be resumed: it has no optimizer state.",
                path=self.place,
                hint="Begin a new run with --from.",
            )
        state: dict[str, Any] = torch.load(self.path / OPTIMIZER, map_location="cpu", weights_only=True)
        return state


def sealed(values: Mapping[str, Any]) -> str:
    """The text of a checkpoint.json that says these values, and their SHA-256."""
    return json.dumps({**values, "sha256": _sha256_of_values(values)}, indent=2) + "\n"


def _sha256_of_values(values: Mapping[str, Any]) -> str:
    """Of all values but their SHA-256, whatever white space and order they were written with."""
    said = {name: value for name, value in values.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def training_policy(policy: VideoPolicy, run: RunConfig) -> VideoPolicy:
    """The policy with new adapters where the run trains those."""
    if run.lora_rank is not None:
        add_adapters(policy.unet, rank=run.lora_rank, alpha=run.lora_alpha, seed=run.seed)
    return policy


def save_checkpoint(
    run_folder: Path,
    *,
    step: int,
    weights: Mapping[str, Tensor],
    average: Mapping[str, Tensor] | None,
    model: ModelConfig,
    run: RunConfig,
    normalizer: ActionNormalizer | None,
    data: DataPosition,
    optimizer_state: dict[str, Any],
    before: Sequence[Training] = (),
) -> Path:
    """Writes a checkpoint under a temporary name, syncs and renames it, then prunes what the run does not keep.

    Raises:
        VptrainError: it cannot be written; what was there before is whole.
    """
    root = run_folder / "checkpoints"
    folder = root / f"step-{step:08d}"
    partial = root / f".partial-{folder.name}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, tensors in ((MODEL, weights), (AVERAGE, average)):
            if tensors is not None:
                save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, partial / name)
        _save_optimizer(optimizer_state, partial / OPTIMIZER)
        values = {
            "format_version": FORMAT_VERSION,
            "step": step,
            "model": to_dict(model),
            "run": to_dict(run),
            "actions": None if normalizer is None else normalizer.to_json(),
            "data": asdict(data),
            "before": [asdict(training) for training in before],
            "files": {file.name: sha256_of(file) for file in sorted(partial.iterdir())},
        }
        (partial / "checkpoint.json").write_text(sealed(values))
        for file in (*partial.iterdir(), partial):
            sync(file)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
        _name_latest(root, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise VptrainError(
            f"the checkpoint of step {step} cannot be written ({error}).",
            path=folder,
            hint="Make room, then run the same command with --resume; earlier checkpoints are whole.",
        ) from error
    so_far = [old for old in _steps(root) if old.name <= folder.name]  # none of a run that was put back to this one
    for old in so_far[: -run.keep_checkpoints]:
        if not run.keep_every or int(old.name.removeprefix("step-")) % run.keep_every:
            shutil.rmtree(old)
    return folder


def _name_latest(root: Path, folder: Path) -> None:
    pointer = root / ".latest"
    pointer.write_text(folder.name + "\n")
    sync(pointer)
    pointer.replace(root / "latest")
    sync(root)


def _steps(root: Path) -> list[Path]:
    return sorted(root.glob("step-*"))


def _earlier(folder: Path) -> str:
    """What to do where a checkpoint is damaged."""
    names = [old.name for old in _steps(folder.parent) if old.name < folder.name]
    if not names:
        return "There is no earlier checkpoint of the run beside it: begin a new run."
    back = f"`echo {names[-1]} > {folder.parent / 'latest'}`"
    return f"Use an earlier checkpoint of the run: after {back} it goes on from that one with --resume."


def _save_optimizer(state: dict[str, Any], path: Path) -> None:
    try:
        torch.save(state, path)
    except RuntimeError as error:  # which is how torch reports a full disk
        raise OSError(str(error)) from error


def _resolve(path: Path) -> Path:
    pointer = path / "checkpoints" / "latest"
    if not pointer.is_file():
        return path
    name = pointer.read_text().strip()
    if not name.startswith("step-"):
        what = f"it names {name!r}, no checkpoint."
        raise VptrainError(what, path=pointer, hint="Write the name of a folder beside it into it, such as step-N.")
    return path / "checkpoints" / name
