"""The report draws the held-out loss at each noise level."""

import json
import shutil
from pathlib import Path

from vptrain.report.gather import LossPoint, gather
from vptrain.report.page import render
from vptrain.training.metrics import read_metrics


def test_the_report_shows_losses_by_noise_level(stage1_run: Path, mixture_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "video"
    shutil.copytree(stage1_run, run)
    (last,) = [line for line in read_metrics(run / "metrics.jsonl") if "held_out_loss" in line]
    by_sigma = last["held_out_loss_by_sigma"]
    given = {"mixture_file": mixture_file, "stage2": None, "predictions_folder": None, "times_file": None}
    once = gather(stage1=run, **given)
    assert once.runs[0].by_sigma[0] == ("0.35", (LossPoint(step=3, loss=by_sigma["0.35"]),))
    assert "at each noise level" not in render(once)
    earlier = last | {"step": 1, "held_out_loss_by_sigma": {level: 2 * loss for level, loss in by_sigma.items()}}
    metrics = run / "metrics.jsonl"
    metrics.write_text(json.dumps(earlier) + "\n" + metrics.read_text())
    twice = gather(stage1=run, **given)
    assert [level for level, _ in twice.runs[0].by_sigma] == ["0.35", "1.17", "2.72", "6.29", "21.1"]
    page = render(twice)
    assert "at each noise level" in page
    for level, loss in by_sigma.items():
        assert f"{level} (now {loss:.3g})" in page
