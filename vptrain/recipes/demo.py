"""The main job: the small recordings of this repository in, a trained tiny policy and a report about it out.

`python -m vptrain.recipes.demo --out runs/demo` runs ordinary `vpdata` and `vptrain` commands one after the other,
prints each as one could type it, and keeps what it took in OUT/times.json. Run again after an interruption, it goes on
with the first command that is not in there; that one starts afresh, so that its time is the whole.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vpdata.cli import output
from vpdata.pages.units import as_bytes, as_duration
from vpdata.shards.files import write_whole
from vptrain.errors import VptrainError
from vptrain.recipes.memory import PeakMemory

RECORDINGS = Path("tests/recordings")
TIMES_NAME = "times.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command, and what it makes (None where it only prints)."""

    arguments: tuple[str, ...]
    makes: Path | None

    @property
    def command(self) -> str:
        """As one would type it."""
        return shlex.join(self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """What a finished command took: wall time in seconds, and the peak of its process tree's memory (PSS)."""

    command: str
    seconds: float
    peak_memory_bytes: int


def demo_steps(out: Path) -> list[Step]:
    """The commands of the main job, in order."""
    robocasa, libero, teleop, video = data = [out / "data" / name for name in ("robocasa", "libero", "teleop", "video")]
    mixture, stage1, stage2 = out / "mixture.toml", out / "stage1", out / "stage2"
    predictions, page, times = out / "predictions", out / "report.html", out / TIMES_NAME
    pictures = {folder: out / "preview" / folder.name for folder in (robocasa, libero)}
    trained = ("--mixture", mixture, "--stage1", stage1, "--stage2", stage2)
    return [
        _vpdata("ingest", "robocasa", RECORDINGS / "robocasa", "--out", robocasa, makes=robocasa),
        _vpdata("ingest", "libero", RECORDINGS / "libero", "--out", libero, makes=libero),
        _vpdata(
            *("ingest", "teleop", RECORDINGS / "aloha", "--size", 128, "--camera", "wrist=left_wrist"),
            *("--camera", "front=top", "--camera", "right_wrist=right_wrist", "--out", teleop),
            makes=teleop,
        ),
        _vpdata("ingest", "video", RECORDINGS / "video", "--fps", 20, "--size", 128, "--out", video, makes=video),
        _vpdata("info", *data),
        _vpdata("validate", *data),
        *(_vpdata("preview", folder, "--out", made, makes=made) for folder, made in pictures.items()),
        _vpdata("mix", *data, "--action-free", 0.7, "--withhold", "teleop", "--out", mixture, makes=mixture),
        _vpdata("mix", "--show", mixture),
        _vptrain("stage1", "--mixture", mixture, "--out", stage1, makes=stage1),
        _vptrain("stage2", "--mixture", mixture, "--from", stage1, "--out", stage2, makes=stage2),
        _vptrain("predict", stage2, "--mixture", mixture, "--out", predictions, makes=predictions),
        _vptrain("report", *trained, "--predictions", predictions, "--times", times, "--out", page, makes=page),
    ]


def run_steps(steps: Sequence[Step], *, times_file: Path) -> int:
    """Runs the steps that `times_file` does not have yet, and adds each that succeeds to it.

    Returns:
        0, or the exit code of the step that failed; the steps after it are not run.

    Raises:
        VptrainError: `times_file` is damaged.
    """
    finished = _finished(times_file, steps)
    for step in steps[: len(finished)]:
        print(f"done before: {step.command}", flush=True)
    for step in steps[len(finished) :]:
        if step.makes is not None:
            _remove(step.makes)
        print(f"\n$ {step.command}", flush=True)
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", *step.arguments], stdin=subprocess.DEVNULL)
        with PeakMemory(process.pid) as peak:
            code = _ended(process)
        if code:
            print(f"\nThis command failed with exit code {code}: {step.command}", file=sys.stderr, flush=True)
            return code
        took = StepTime(command=step.command, seconds=time.monotonic() - began, peak_memory_bytes=peak.num_bytes)
        finished.append(took)
        _write_times(times_file, finished)
        print(f"({as_duration(took.seconds)}, peak memory {as_bytes(took.peak_memory_bytes)})", flush=True)
    return 0


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; a Ctrl-C, which reaches it too, is passed on once it has ended."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def prepare(out: Path, *, force: bool) -> Path:
    """Makes the folder, or empties one that an earlier demo made if `force` is set; returns its file of times.

    Raises:
        VptrainError: the recordings are not there, or the folder holds something else.
    """
    if not RECORDINGS.is_dir():
        raise VptrainError(
            "the recordings are not here.", path=RECORDINGS, hint="Run the demo in the repository's root."
        )
    times_file = out / TIMES_NAME
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not times_file.is_file():
        raise VptrainError("this folder was not made by the demo.", path=out, hint="Choose another --out.")
    if force and out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    if not times_file.is_file():
        _write_times(times_file, [])
    return times_file


def _finished(times_file: Path, steps: Sequence[Step]) -> list[StepTime]:
    """What the first steps took, up to the first that has not been run as it now is."""
    try:
        recorded = [StepTime(**entry) for entry in json.loads(times_file.read_text())]
    except (ValueError, TypeError) as error:
        hint = "Start over with --force."
        raise VptrainError(f"the times cannot be read ({error}).", path=times_file, hint=hint) from error
    finished = []
    for step, entry in zip(steps, recorded, strict=False):
        if entry.command != step.command or (step.makes is not None and not step.makes.exists()):
            break
        finished.append(entry)
    return finished


def _write_times(times_file: Path, times: Sequence[StepTime]) -> None:
    write_whole(times_file, (json.dumps([asdict(one) for one in times], indent=2) + "\n").encode())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _vpdata(*arguments: object, makes: Path | None = None) -> Step:
    return Step(arguments=("vpdata", *map(str, arguments)), makes=makes)


def _vptrain(*arguments: object, makes: Path | None = None) -> Step:
    return Step(arguments=("vptrain", *map(str, arguments)), makes=makes)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--force", action="store_true", help="delete what an earlier demo made there, and start over")
    arguments = parser.parse_args()
    try:
        times_file = prepare(arguments.out, force=arguments.force)
        code = run_steps(demo_steps(arguments.out), times_file=times_file)
    except VptrainError as error:
        output.say(f"error: {error}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        output.say("stopped; the same command goes on with the step that was interrupted.")
        raise SystemExit(130) from None
    if code == 0:
        print(f"\nThe report: {(arguments.out / 'report.html').resolve()}")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
