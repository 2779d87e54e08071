"""`metrics.jsonl`: one JSON object a line, appended as a run goes; a resumed run drops what its checkpoint lacks."""

import json
from pathlib import Path
from typing import Any

from vptrain.errors import VptrainError


class MetricsLog:
    """Appends to RUN/metrics.jsonl.

    Every line has `step`, and one of:

    * `loss` (mean since the last such line), `learning_rate`, `gradient_norm`, `windows_per_second`, `data_wait_share`
      (of wall time), `seconds` (of training, over all resumes), `memory_gb` (the main process's peak) and, on a GPU,
      `gpu_memory_gb` (the peak that torch has allotted there);
    * `held_out_loss` and `held_out_loss_by_sigma`, noise level -> loss, of which it is the mean;
    * `samples`: name -> score of the sampled clips, see `vptrain.training.samples`.
    """

    def __init__(self, path: Path, *, step: int) -> None:
        """Opens the log of a run that goes on after `step`."""
        lines = read_metrics(path) if path.exists() else []
        kept = [line for line in lines if line["step"] <= step]
        temporary = path.with_suffix(".partial")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        temporary.replace(path)
        self._path = path
        self.seconds = max((line.get("seconds", 0.0) for line in kept), default=0.0)
        self.last_step_before = max((int(line["step"]) for line in lines), default=0)

    def append(self, **values: Any) -> None:
        """Writes one line."""
        with self._path.open("a") as file:
            file.write(json.dumps(values) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log; a last line cut off by a crash is left out.

    Raises:
        VptrainError: another line is damaged.
    """
    found = []
    for number, line in enumerate(path.read_text(errors="replace").split("\n")[:-1], start=1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            what = f"line {number} cannot be read ({error})."
            raise VptrainError(what, path=path, hint="Remove that line.") from error
    return found


def flattened(values: dict[str, Any], *, prefix: str = "") -> dict[str, float]:
    """The numbers of a line by name, those of nested ones as `name/inner name`; None is left out."""
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flattened(value, prefix=f"{prefix}{name}/")
        elif value is not None:
            flat[prefix + name] = float(value)
    return flat
