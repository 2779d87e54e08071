"""What curation measures for the price of decoding, and how many planted cuts it finds.

    python -m benchmarks.data.curation
    python -m benchmarks.data.curation --videos FOLDER --rounds 10 --reels 24 --json

Speed: each video is decoded by PyAV alone, then measured (decoded, looked at and hashed), turn by turn in one thread.
Times are processor time, so that a share of 0.5 is half the speed on the same cores; the median over the rounds. Cuts:
reels of 16 scenes of 12 to 60 frames from all the videos, encoded in six ways; scenes of the same table, too.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.data.tables import ROOT, machine
from tests.curation import planted
from vpdata import sources
from vpdata.curation.cuts import find_cuts
from vpdata.curation.measure import measure
from vpdata.curation.thresholds import Thresholds
from vpdata.errors import SourceError
from vpdata.sources.timeline import open_video

GOAL_SHARE, GOAL_CUTS = 0.5, 0.95
MIN_FRAMES = 60
ENCODERS = (
    *planted.ENCODERS,
    {"crf": "30", "g": "8"},
    {"crf": "23", "g": "50", "preset": "veryfast"},
    {"crf": "33", "g": "30", "preset": "ultrafast"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one video: microseconds a frame to decode it alone and to measure it, and the former's share of the latter."""

    video: str
    frames: int
    size: str
    decode_us: float
    measure_us: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Of all reels: cuts that were planted, that were found, and those that are right to the frame."""

    planted: int
    found: int
    right: int
    precision: float
    recall: float


def cost_of(path: Path, *, rounds: int) -> Cost:
    """Decodes and measures in turn."""
    measured = measure(path)
    decodes, measures = [], []
    for _ in range(rounds):
        decodes.append(_seconds(partial(_decode, path)))
        measures.append(_seconds(partial(measure, path)))
    microseconds = 1e6 / len(measured)
    return Cost(
        video=path.name,
        frames=len(measured),
        size=f"{measured.width}x{measured.height}",
        decode_us=microseconds * statistics.median(decodes),
        measure_us=microseconds * statistics.median(measures),
        share=statistics.median(d / m for d, m in zip(decodes, measures, strict=True)),
    )


def cuts_of(paths: list[Path], *, num_reels: int) -> Cuts:
    """Finds the cuts of reels with the default thresholds."""
    pieces, rng = [planted.read(path) for path in paths], random.Random(1)
    num_planted = num_found = num_right = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(num_reels):
            reel = planted.concatenation(pieces, rng, num_scenes=16)
            path = reel.write(Path(folder) / "reel.mp4", ENCODERS[number % len(ENCODERS)])
            found = find_cuts(measure(path).columns["content"], Thresholds())
            num_planted, num_found = num_planted + len(reel.cuts), num_found + len(found)
            num_right += len(set(found) & set(reel.cuts))
    return Cuts(
        planted=num_planted,
        found=num_found,
        right=num_right,
        precision=num_right / num_found,
        recall=num_right / num_planted,
    )


def _decode(path: Path) -> None:
    with open_video(path) as (container, stream):
        for _ in container.decode(stream):
            pass


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _long_enough(paths: list[Path]) -> list[Path]:
    """Those that decode, and do so for long enough to be timed and cut."""
    kept = []
    for path in paths:
        try:
            if len(measure(path)) >= MIN_FRAMES:
                kept.append(path)
        except SourceError as error:
            print(f"left out: {error}", file=sys.stderr)
    return kept


def main() -> None:
    """Command line; exit code 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, default=ROOT / "tests" / "recordings" / "video", metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reels", type=int, default=12)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args()
    paths = _long_enough([file.path for file in sources.load("video").find(args.videos)])
    costs = [cost_of(path, rounds=args.rounds) for path in paths]
    share = sum(c.decode_us * c.frames for c in costs) / sum(c.measure_us * c.frames for c in costs)
    cuts = cuts_of(paths, num_reels=args.reels)
    if args.json:
        print(json.dumps({"costs": [asdict(cost) for cost in costs], "share": share, "cuts": asdict(cuts)}))
    else:
        print(
            f"{machine()}\n\n| video | frames | size | decoding µs | measuring µs | share |\n|---|---|---|---|---|---|"
        )
        for c in costs:
            print(f"| {c.video} | {c.frames} | {c.size} | {c.decode_us:.0f} | {c.measure_us:.0f} | {c.share:.2f} |")
        print(f"| all | {sum(c.frames for c in costs)} | | | | {share:.2f} |\n")
        print("| cuts planted | found | right | precision | recall |\n|---|---|---|---|---|")
        print(f"| {cuts.planted} | {cuts.found} | {cuts.right} | {cuts.precision:.3f} | {cuts.recall:.3f} |")
    sys.exit(share < GOAL_SHARE or min(cuts.precision, cuts.recall) < GOAL_CUTS)


if __name__ == "__main__":
    main()
