from pathlib import Path

import pytest

from vptrain.errors import VptrainError
from vptrain.training.metrics import MetricsLog, read_metrics


def test_lines_are_appended_and_read(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", step=0)
    log.append(step=10, loss=0.5, seconds=3.0)
    log.append(step=20, held_out_loss=0.25)
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 10, "loss": 0.5, "seconds": 3.0},
        {"step": 20, "held_out_loss": 0.25},
    ]


def test_a_resumed_run_drops_what_its_checkpoint_lacks(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", step=0)
    for step in (10, 20, 30):
        log.append(step=step, loss=1 / step, seconds=step / 10)
    assert log.seconds == 0
    resumed = MetricsLog(tmp_path / "metrics.jsonl", step=20)
    assert resumed.seconds == 2.0
    resumed.append(step=30, loss=0.0)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [10, 20, 30]
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["loss"] == 0


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 10, "loss": 0.5}\n{"step": 20, "lo')
    assert [line["step"] for line in read_metrics(file)] == [10]
    MetricsLog(file, step=20).append(step=20, loss=0.1)
    assert [line["step"] for line in read_metrics(file)] == [10, 20]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1}\n{"st\x00ep": \n{"step": 3}\n')
    with pytest.raises(VptrainError, match=f"{log}: line 2 cannot be read"):
        read_metrics(log)
