"""Our loader against LeRobot's, on the same frames, windows and cores.

    sh benchmarks/peers/setup.sh PEERS
    python -m benchmarks.data.make --out DIR
    python -m benchmarks.data.lerobot --data DIR --peers PEERS

LeRobot 0.4.4 with torchcodec, through torch's DataLoader, from AV1 (its default) and from H.264; ours from `--codec`.
LeRobot always makes float32; ours is shown as it comes (uint8) and made float32 as well. The goal, three times as many
windows a second, is for equal types. LeRobot's data sets are made in DIR once. Exits with 1 where the goal is missed.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.data.tables import ROOT, Ratio, Row, peer_python, report, run_all

VCODECS = {"AV1": "libsvtav1", "H.264": "h264"}
GOAL = 3


def root_of(data: Path, codec: str, python: str) -> Path:
    """LeRobot's data set in that codec, made unless it is there."""
    root = data / f"lerobot-{VCODECS[codec]}"
    if not root.exists():
        arguments = ["--data", str(data), "--out", str(root), "--vcodec", VCODECS[codec]]
        command = [python, "-m", "benchmarks.peers.lerobot_make", *arguments]
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=True)
    return root


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what benchmarks.data.make made")
    parser.add_argument("--peers", type=Path, required=True, metavar="DIR", help="what benchmarks/peers/setup.sh made")
    parser.add_argument("--codec", default="h264", help="ours")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--strides", type=int, nargs="+", default=[4, 1])
    parser.add_argument("--seconds", type=float, default=10, help="of every row and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    data, python = args.data.resolve(), peer_python(args.peers)
    roots = {codec: root_of(data, codec, python) for codec in VCODECS}
    rows, ratios = [], []
    for stride in args.strides:
        for workers in args.workers:
            suffix = f"stride {stride}, {workers} workers"
            what = ("--data", str(data), "--stride", str(stride))
            common = (*what, "--workers", str(workers), "--seconds", str(args.seconds))
            for output in ("uint8", "float32"):
                ours = (*common, "--codec", args.codec, "--output", output)
                rows.append(Row(name=f"ours, {output}, {suffix}", module="benchmarks.data.ours", arguments=ours))
            for codec, root in roots.items():
                name = f"LeRobot, {codec}, float32, {suffix}"
                theirs = (*common, "--root", str(root))
                rows.append(Row(name=name, module="benchmarks.peers.lerobot_windows", arguments=theirs, python=python))
                ratios.append(Ratio(ours=f"ours, float32, {suffix}", theirs=name, goal=GOAL))
                ratios.append(Ratio(ours=f"ours, uint8, {suffix}", theirs=name))
                ratios.append(Ratio(ours=f"ours, float32, {suffix}", theirs=name, by="cpu"))
    found = run_all(rows, rounds=args.rounds)
    if not report("Our loader and LeRobot's", found, ratios, as_json=args.json):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
