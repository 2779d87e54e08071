"""`metrics.jsonl`: one JSON object a line, appended as a run goes; a resumed run drops what its checkpoint lacks."""

import json
from pathlib import Path
from typing import Any


class MetricsLog:
    """Appends to RUN/metrics.jsonl.

    Every line has `step`, and any of `loss` (mean since the last such line), `held_out_loss`, `learning_rate`,
    `windows_per_second`, `data_wait_share` (of wall time) and `seconds` (of training, over all resumes).
    """

    def __init__(self, path: Path, *, step: int) -> None:
        """Opens the log of a run that goes on after `step`."""
        kept = [line for line in read_metrics(path) if line["step"] <= step] if path.exists() else []
        temporary = path.with_suffix(".partial")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        temporary.replace(path)
        self._path = path
        self.seconds = max((line.get("seconds", 0.0) for line in kept), default=0.0)

    def append(self, **values: Any) -> None:
        """Writes one line."""
        with self._path.open("a") as file:
            file.write(json.dumps(values) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log; a last line cut off by a crash is left out."""
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]
