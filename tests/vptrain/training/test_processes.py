"""Several processes train one model; what is killed, stopped or lost goes on from its last checkpoint."""

import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import trainer_of
from safetensors.torch import load_file

from vptrain.checkpoint import AVERAGE, MODEL, Checkpoint

PROGRAM = Path(__file__).with_name("processes.py")
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(PROGRAM.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]),
}
# Adam divides by the gradient's size: an epsilon above rounding errors keeps these from being made as large as a step.
SMOOTH = ("epsilon=1e-2", "batch_size=4", "steps=3", "ema_decay=0.9", "clip_norm=1.0", "trackers=none")


def program(*arguments: object, processes: int = 1) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    return [sys.executable, *launcher, str(PROGRAM), *map(str, arguments)]


def run(*arguments: object, processes: int = 1) -> str:
    """What the program printed."""
    command = program(*arguments, processes=processes)
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def largest_difference(ours: Path, theirs: Path, name: str = MODEL) -> float:
    a, b = (load_file(Checkpoint.open(folder).path / name) for folder in (ours, theirs))
    assert a.keys() == b.keys()
    return max((a[key].double() - b[key].double()).abs().max().item() for key in a)


@pytest.mark.parametrize(("kind", "sharding"), [("stage1", "replicate"), ("joint", "full")])
def test_two_processes_train_as_one(mixture_file: Path, tmp_path: Path, kind: str, sharding: str) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    alone = run(kind, mixture_file, one, *SMOOTH, "steps=1")
    both = run(kind, mixture_file, two, *SMOOTH, "steps=1", f"sharding={sharding}", processes=2)
    (_, loss), (_, loss_of_two) = alone.split(), both.split()
    assert float(loss_of_two) == pytest.approx(float(loss), rel=1e-4)
    trained = Checkpoint.open(one).run
    largest_rate = trained.learning_rate * (trained.head_rate_factor if kind == "joint" else 1)
    for name in (MODEL, AVERAGE):
        assert largest_difference(one, two, name) < 0.02 * largest_rate


def test_a_run_goes_on_with_another_number_of_processes(mixture_file: Path, tmp_path: Path) -> None:
    whole, first = tmp_path / "whole", tmp_path / "first"
    run("stage1", mixture_file, whole, *SMOOTH)
    settings = [*SMOOTH, "checkpoint_every=1", "keep_checkpoints=9"]
    run("stage1", mixture_file, first, *settings, "sharding=full", processes=2)
    for step in (2, 3):  # as if it had ended after its first step
        newest = first / "checkpoints" / f"step-{step:08d}"
        newest.rename(tmp_path / newest.name)
    (first / "checkpoints" / "latest").write_text("step-00000001\n")
    again = {1: tmp_path / "alone", 2: tmp_path / "both"}
    for processes, folder in again.items():
        shutil.copytree(first, folder)
        run("resume", mixture_file, folder, "sharding=replicate", "micro_batch_size=1", processes=processes)
        assert Checkpoint.open(folder).step == 3
        for name in (MODEL, AVERAGE):
            moved = largest_difference(tmp_path / "step-00000003", first / "checkpoints" / "step-00000001", name)
            assert largest_difference(whole, folder, name) < 0.05 * moved


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_stop_writes_a_checkpoint(
    mixture_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    settings = ("steps=60", "batch_size=1", "checkpoint_every=1000", "trackers=none")
    process = subprocess.Popen(
        program("stage1", mixture_file, tmp_path / "run", *settings), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("1 ")
    process.send_signal(number)
    printed = process.stdout.read().splitlines()
    assert process.wait(timeout=60) == 0
    stopped = Checkpoint.open(tmp_path / "run")
    assert stopped.step == (int(printed[-1].split()[0]) if printed else 1) < 60


def train(kind: str, mixture: Path, folder: Path, settings: list[str]) -> None:
    torch.set_num_threads(1)
    trainer_of(kind, mixture, folder, settings).train(lambda _: None)


def test_ten_kills_change_nothing(mixture_file: Path, tmp_path: Path) -> None:
    settings = ["steps=12", "batch_size=1", "checkpoint_every=2", "ema_decay=0.9", "trackers=none", "evaluate_every=99"]
    train("stage1", mixture_file, tmp_path / "whole", settings)
    folder, rng = tmp_path / "killed", random.Random(0)
    context = multiprocessing.get_context("fork")  # which has torch imported already
    kills = 0
    while True:
        kind = "resume" if (folder / "checkpoints" / "latest").exists() else "stage1"
        if kind == "stage1" and (folder / "run.json").exists():
            (folder / "run.json").unlink()  # as the message of a run without a checkpoint asks for
        process = context.Process(target=train, args=(kind, mixture_file, folder, settings if kind == "stage1" else []))
        process.start()
        if kills < 10:
            before = sorted(path.name for path in folder.glob("checkpoints/step-*"))
            while process.is_alive() and before == sorted(path.name for path in folder.glob("checkpoints/step-*")):
                if rng.random() < 0.01:
                    break
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.05))
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
                kills += 1
        process.join(timeout=120)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert kills >= 5
    ours, theirs = Checkpoint.open(folder), Checkpoint.open(tmp_path / "whole")
    assert ours.step == theirs.step == 12
    assert ours.files[MODEL] == theirs.files[MODEL]
    assert ours.files[AVERAGE] == theirs.files[AVERAGE]


def test_a_lost_process_ends_the_other_with_a_message(mixture_file: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ("steps=500", "batch_size=2", "checkpoint_every=1", "trackers=none")
    processes = []
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        processes.append(
            subprocess.Popen(
                program("stage1", mixture_file, tmp_path / "run", *settings),
                env={**ENVIRONMENT, **place, "MASTER_PORT": str(port)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    main, other = processes
    assert main.stdout is not None
    assert main.stdout.readline().startswith("1 ")
    other.kill()
    _, errors = main.communicate(timeout=120)
    other.communicate()
    assert main.returncode == 1
    assert "another process of the run was lost" in errors
    assert "--resume" in errors
    assert Checkpoint.open(tmp_path / "run").step >= 1
