"""Our loader against reading RoboCasa's HDF5 directly, as the method's reference does.

    sh benchmarks/peers/setup.sh PEERS
    python -m benchmarks.data.make --out DIR
    python -m benchmarks.data.hdf5_reference --data DIR --peers PEERS

Both sides make float32 frames in [-1, 1], without jitter and with colour jitter of the same amounts, drawn for every
frame anew: the peer by torchvision frame by frame in its workers, ours by `vptrain.augment` batch by batch in the
consumer, all on the CPU. (Training draws once a camera and window, and jitters on the device of the model.) The goal is
for equal augmentation. Exits with 1 where it is missed.
"""

import argparse
from pathlib import Path

from benchmarks.data.tables import Ratio, Row, peer_python, report, run_all

GOAL = 20
OUTPUTS = {"none": "float32", "frame": "jitter"}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what benchmarks.data.make made")
    parser.add_argument("--peers", type=Path, required=True, metavar="DIR", help="what benchmarks/peers/setup.sh made")
    parser.add_argument("--codec", default="h264", help="ours")
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--seconds", type=float, default=15, help="of every row and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    python = peer_python(args.peers)
    rows, ratios = [], []
    for workers in args.workers:
        common = ("--data", str(args.data.resolve()), "--workers", str(workers), "--seconds", str(args.seconds))
        for jitter, output in OUTPUTS.items():
            suffix = f"{'jitter' if jitter == 'frame' else 'no jitter'}, {workers} workers"
            ours, theirs = f"ours, {suffix}", f"HDF5, {suffix}"
            arguments = (*common, "--codec", args.codec, "--output", output)
            rows.append(Row(name=ours, module="benchmarks.data.ours", arguments=arguments))
            peer = Row(
                name=theirs,
                module="benchmarks.peers.hdf5_windows",
                arguments=(*common, "--jitter", jitter),
                python=python,
            )
            rows.append(peer)
            ratios.append(Ratio(ours=ours, theirs=theirs, goal=GOAL))
            ratios.append(Ratio(ours=ours, theirs=theirs, by="cpu"))
    found = run_all(rows, rounds=args.rounds)
    if not report("Our loader and direct HDF5", found, ratios, as_json=args.json):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
