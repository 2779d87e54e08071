"""A run that was killed goes on as if nothing had happened."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from micro import MICRO, STAGE1, STAGE2, silent

from vptrain.checkpoint import Checkpoint
from vptrain.config import RunConfig, to_dict
from vptrain.training.metrics import read_metrics
from vptrain.training.start import resume, start_stage1, start_stage2

KILLED_AFTER_A_CHECKPOINT = """
import json, os, signal, sys
from pathlib import Path
import torch
from vptrain.config import ModelConfig, RunConfig, from_dict
from vptrain.training.start import start_stage1, start_stage2

torch.set_num_threads(1)
mixture, folder, stage1, model, run = sys.argv[1:]
model, run = from_dict(ModelConfig, json.loads(model)), from_dict(RunConfig, json.loads(run))
if run.stage == "stage1":
    trainer = start_stage1(Path(mixture), Path(folder), model=model, run=run, device="cpu")
else:
    trainer = start_stage2(Path(mixture), Path(folder), stage1=Path(stage1), run=run, device="cpu")

def kill(progress):
    if progress.step == run.checkpoint_every:
        os.kill(os.getpid(), signal.SIGKILL)

trainer.train(kill)
"""
SIX = {
    stage.stage: replace(
        stage, steps=6, batch_size=2, checkpoint_every=3, evaluate_every=6, warmup_steps=2, schedule="cosine"
    )
    for stage in (STAGE1, STAGE2)
}


@pytest.fixture(scope="module", params=["stage1", "stage2"])
def run(request: pytest.FixtureRequest) -> RunConfig:
    return SIX[request.param]


@pytest.fixture(scope="module")
def whole(run: RunConfig, mixture_file: Path, stage1_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps in one go."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    if run.stage == "stage1":
        start_stage1(mixture_file, folder, model=MICRO, run=run, device="cpu").train(silent)
    else:
        start_stage2(mixture_file, folder, stage1=stage1_run, run=run, device="cpu").train(silent)
    return folder


@pytest.fixture(scope="module")
def killed(run: RunConfig, mixture_file: Path, stage1_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, whose process was killed right after its checkpoint of step 3."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    model, configured = json.dumps(to_dict(MICRO)), json.dumps(to_dict(run))
    arguments = [str(mixture_file), str(folder), str(stage1_run), model, configured]
    ended = subprocess.run([sys.executable, "-c", KILLED_AFTER_A_CHECKPOINT, *arguments], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert Checkpoint.open(folder).step == 3
    return folder


def logged(folder: Path) -> list[dict[str, float]]:
    """The metrics that do not depend on the clock, or on what else the process held."""
    clock = {"seconds", "windows_per_second", "data_wait_share", "memory_gb"}
    return [
        {name: value for name, value in line.items() if name not in clock}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def same_tensors(ours: object, theirs: object) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same_tensors(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same_tensors, ours, theirs))
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return torch.equal(ours, theirs)
    return bool(ours == theirs)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_killed_run_ends_as_if_it_had_not_been(
    whole: Path, killed: Path, mixture_file: Path, tmp_path: Path, num_workers: int, run: RunConfig
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(killed, folder)
    (folder / "checkpoints" / ".partial-step-00000006").mkdir()
    (folder / "checkpoints" / ".partial-step-00000006" / "model.safetensors").write_bytes(b"interrupted")
    trainer = resume(mixture_file, folder, stage=run.stage, device="cpu", changes=[f"num_workers={num_workers}"])
    assert trainer.step == 3
    trainer.train(silent)
    ours, theirs = Checkpoint.open(folder), Checkpoint.open(whole)
    assert ours.step == theirs.step == 6
    assert ours.files["model.safetensors"] == theirs.files["model.safetensors"]
    assert same_tensors(ours.optimizer_state(), theirs.optimizer_state())
    assert ours.data == theirs.data
    assert logged(folder) == logged(whole)
    assert [line["step"] for line in logged(folder)] == [3, 6, 6]
    assert not list((folder / "checkpoints").glob(".partial-*"))
