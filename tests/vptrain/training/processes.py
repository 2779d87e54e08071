"""A run of the micro model as a program: `python processes.py KIND MIXTURE FOLDER FIELD=VALUE…`.

KIND is `stage1` or `joint`, to begin, or `resume`. Prints the step and loss after each step, from the main process.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from micro import MICRO, STAGE1

from vptrain.config import overridden
from vptrain.training.start import resume, start_joint, start_stage1
from vptrain.training.stop import stop_signals
from vptrain.training.trainer import Progress, Trainer


def trainer_of(kind: str, mixture: Path, folder: Path, settings: list[str]) -> Trainer:
    """A run that begins, or goes on."""
    if kind == "resume":
        return resume(mixture, folder, stage="stage1", device="cpu", changes=settings)
    run = overridden(replace(STAGE1, stage=kind), settings)
    if kind == "joint":
        return start_joint(mixture, folder, start=MICRO, run=run, device="cpu")
    return start_stage1(mixture, folder, model=MICRO, run=run, device="cpu")


def main() -> None:
    """The program."""
    torch.set_num_threads(1)
    kind, mixture, folder, *settings = sys.argv[1:]
    trainer = trainer_of(kind, Path(mixture), Path(folder), settings)

    def report(progress: Progress) -> None:
        if trainer.engine.is_main:
            print(progress.step, progress.loss, flush=True)

    with stop_signals() as stop:
        trainer.train(report, asked_to_stop=stop.asked)
    trainer.engine.end()


if __name__ == "__main__":
    main()
