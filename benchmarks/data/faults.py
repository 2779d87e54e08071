"""What safety costs: the CRC-32 of a camera's member against decoding a window from it; hashing recordings in threads.

    python -m benchmarks.data.faults
    python -m benchmarks.data.faults --recordings FILE_OR_FOLDER --json

A member holds 300 frames of one camera, a window 8 of them at stride 4. Times are processor time in one thread, check
and decoding taken turn by turn; the table shows the median over the rounds of the ratio within a round. Planning is
timed by the clock, over files of one robot episode each with random bytes after it, read once before.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from isal import isal_zlib

from benchmarks.data.recorded import RECORDINGS, recorded
from benchmarks.data.tables import machine
from vpdata import codecs
from vpdata.ingest import IngestOptions, make_plan

NUM_FRAMES, WINDOW, STRIDE = 300, 8, 4
GOAL = 0.01
NUM_FILES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The check of one codec's member: its bytes, microseconds of check and decoding, and the share of decoding."""

    codec: str
    member_bytes: int
    check_us: float
    decode_us: float
    share: float


def cost_of(codec_name: str, frames: np.ndarray, *, fps: float, rounds: int) -> Cost:
    """The median cost over windows at evenly spread starts."""
    codec = codecs.load(codec_name)
    data = codec.encode(iter(frames), fps=fps)
    out = np.empty((WINDOW, *frames.shape[1:]), np.uint8)
    starts = np.linspace(0, len(frames) - (WINDOW - 1) * STRIDE - 1, rounds).astype(int)
    checks, decodes = [], []
    for start in starts:
        checks.append(_seconds(partial(isal_zlib.crc32, data)))
        decodes.append(_seconds(partial(codec.decode_into, data, range(start, start + WINDOW * STRIDE, STRIDE), out)))
    return Cost(
        codec=codec_name,
        member_bytes=len(data),
        check_us=statistics.median(checks) * 1e6,
        decode_us=statistics.median(decodes) * 1e6,
        share=statistics.median(check / decode for check, decode in zip(checks, decodes, strict=True)),
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def planning_ratio(*, file_bytes: int, rounds: int) -> float:
    """Seconds of planning with one thread by those with the threads that `make_plan` takes; the median."""
    episode = RECORDINGS / "aloha" / "episode_0.hdf5"
    with tempfile.TemporaryDirectory() as folder:
        for number in range(NUM_FILES):
            path = Path(shutil.copy(episode, Path(folder) / f"episode_{number}.hdf5"))
            with path.open("ab") as file:
                file.write(np.random.default_rng(number).bytes(file_bytes))
        ratios = []
        for _ in range(rounds + 1):
            seconds = []
            for pool in (partial(ThreadPoolExecutor, 1), ThreadPoolExecutor):
                with patch("vpdata.ingest.plan.ThreadPoolExecutor", pool):
                    began = time.perf_counter()
                    make_plan("teleop", [Path(folder)], IngestOptions())
                    seconds.append(time.perf_counter() - began)
            ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="robocasa")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS / "robocasa")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--file-megabytes", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    first = next(recorded(arguments.source, arguments.recordings, num_frames=NUM_FRAMES))
    frames = np.resize(first.frames, (NUM_FRAMES, *first.frames.shape[1:]))  # over again where it is shorter
    costs = [cost_of(name, frames, fps=first.fps, rounds=arguments.rounds) for name in codecs.NAMES]
    planning = planning_ratio(file_bytes=arguments.file_megabytes * 10**6, rounds=5)
    if arguments.json:
        print(json.dumps({"machine": machine(), "checks": [asdict(c) for c in costs], "planning": planning}, indent=2))
    else:
        print(f"{machine()}\n{first.camera} of {first.file}, {frames.shape[1]} x {frames.shape[2]}\n")
        print("| codec | member, bytes | CRC-32, µs | a window's decoding, µs | share |\n|---|---|---|---|---|")
        for c in costs:
            print(f"| {c.codec} | {c.member_bytes:,} | {c.check_us:.0f} | {c.decode_us:.0f} | {c.share:.2%} |")
        print(f"\nplanning {NUM_FILES} files in threads: {planning:.2f} times as fast as in one")
    default = next(c for c in costs if c.codec == "h264")
    sys.exit(default.share > GOAL)


if __name__ == "__main__":
    main()
