"""A tiny run as a user makes it: a mixture, four steps of each stage, and predictions."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from tiny_run import TinyRun, call

from vpdata.cli.app import app as vpdata_app
from vptrain.cli.app import app as vptrain_app

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_run(datasets: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    root = tmp_path_factory.mktemp("tiny_run")
    run = TinyRun(
        mixture=root / "mixture.toml",
        stage1=root / "stage1",
        stage2=root / "stage2",
        predictions=root / "predictions",
    )
    short = ("--mixture", run.mixture, "--steps", 4, "--batch-size", 2, "--num-workers", 0, "--device", "cpu")
    folders = [datasets[name] for name in ("libero", "robocasa", "video")]
    call(vpdata_app, "mix", *folders, "--action-free", 0.5, "--out", run.mixture)
    call(vptrain_app, "stage1", *short, "--out", run.stage1, "--pretrained", "random")
    call(vptrain_app, "stage2", *short, "--out", run.stage2, "--from", run.stage1)
    sampling = ("--steps", 1, "--videos", 8, "--windows", 4, "--device", "cpu")
    call(vptrain_app, "predict", run.stage2, "--mixture", run.mixture, "--out", run.predictions, *sampling)
    return run
