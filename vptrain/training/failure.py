"""A step that could not be taken, kept so that it can be looked at: its weights and windows in, a folder out, and back.

```
RUN/failed/step-00000042/
  checkpoints/       the weights and the optimizer's state as they were before step 42, as in a run
  failed.json        which step, and its mean loss
  windows-0.json     process 0's windows and their losses
  items-0.pt         its tensors: batches, or in stage 2 features of the frozen part
```
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vpdata.loader.window import Window
from vptrain.batch import Batch, Latents
from vptrain.checkpoint import Checkpoint
from vptrain.errors import VptrainError
from vptrain.models.text import load_text_encoder
from vptrain.models.unet import UNetOutput
from vptrain.training.optimizer import freeze
from vptrain.training.step import Features, StageLosses, Targets

FOLDER = "failed"
RESULT = "failed.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownWindow:
    """Which window a position of the stream showed, `start` counted in the episode."""

    position: int
    source: str
    shard: str
    clip: str
    start: int
    instruction: str

    @classmethod
    def of(cls, window: Window) -> "ShownWindow":
        """Of a window in a stream."""
        assert window.position is not None
        return cls(
            position=window.position,
            source=window.source,
            shard=window.shard,
            clip=window.key,
            start=window.start,
            instruction=window.instruction,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLoss:
    """A window, its loss when the step failed, and its loss when computed again."""

    window: ShownWindow
    loss: float
    loss_again: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A failed step, computed again: windows by loss, the worst first; the gradient's norm before clipping."""

    step: int
    loss: float
    loss_again: float
    gradient_norm: float
    windows: tuple[WindowLoss, ...]


def failure_folder(run_folder: Path, step: int) -> Path:
    """Where the failure of the update that should have made `step` is kept."""
    return run_folder / FOLDER / f"step-{step:08d}"


def save_step(
    folder: Path,
    *,
    rank: int,
    step: int,
    loss: float,
    items: Sequence[Batch | Features],
    turn: int,
    losses: Sequence[Tensor],
    shown: Mapping[int, ShownWindow],
) -> None:
    """Writes one process's part of the step, beside which the main process writes a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"turn": turn, "items": list(items)}, folder / f"items-{rank}.pt")
    rows = [
        asdict(shown[key]) | {"loss": value}
        for item, window_losses in zip(items, losses, strict=True)
        for key, value in zip(item.keys, window_losses.tolist(), strict=True)
    ]
    (folder / f"windows-{rank}.json").write_text(json.dumps(rows, indent=2) + "\n")
    if rank == 0:
        (folder / RESULT).write_text(json.dumps({"step": step, "loss": loss}) + "\n")


def replay(folder: Path, *, device: str, text_location: str | None = None) -> Replay:
    """Computes a failed step again, with the windows, noise and weights of then, in one process.

    Raises:
        VptrainError: the folder is not of a failed step, or its checkpoint cannot be used.
    """
    try:
        failed = json.loads((folder / RESULT).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise VptrainError(
            "this is not the folder of a failed step.", path=folder, hint="Name a folder RUN/failed/step-N."
        ) from None
    except ValueError as error:
        raise VptrainError(f"{RESULT} cannot be read ({error}).", path=folder) from error
    checkpoint = Checkpoint.open(folder)
    policy, run = checkpoint.load_training_policy().to(device), checkpoint.run
    freeze(policy, run)
    module = StageLosses(policy, text=load_text_encoder(checkpoint.model.text, location=text_location), run=run)
    windows, total = [], 0.0
    for rank in range(len(list(folder.glob("items-*.pt")))):
        rows = json.loads((folder / f"windows-{rank}.json").read_text())
        with torch.serialization.safe_globals([Batch, Latents, Features, Targets, UNetOutput]):
            kept = torch.load(folder / f"items-{rank}.pt", map_location=device, weights_only=True)
        again: list[float] = []
        for item in kept["items"]:
            losses = module(item, turn=kept["turn"])
            (losses.sum() / run.batch_size).backward()
            again += losses.tolist()
        windows += [
            WindowLoss(loss=row.pop("loss"), loss_again=value, window=ShownWindow(**row))
            for row, value in zip(rows, again, strict=True)
        ]
        total += sum(again)
    gradients = [parameter.grad for parameter in policy.parameters() if parameter.grad is not None]
    return Replay(
        step=failed["step"],
        loss=failed["loss"],
        loss_again=total / run.batch_size,
        gradient_norm=float(nn.utils.get_total_norm(gradients)),
        windows=tuple(sorted(windows, key=_worst_first)),
    )


def _worst_first(window: WindowLoss) -> float:
    """Sorts what is not a number before all numbers."""
    return -window.loss_again if window.loss_again == window.loss_again else float("-inf")
