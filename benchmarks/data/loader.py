"""Our loader against the ceiling that decoding sets, for every codec that `benchmarks.data.make` ingested.

    python -m benchmarks.data.make --out DIR && python -m benchmarks.data.loader --data DIR

Both use the same windows, the same number of processes and the same cores; the loader has its consumer besides. Goal:
85 % of the ceiling. Exits with 1 where that is missed.
"""

import argparse
from pathlib import Path

from benchmarks.data.tables import Ratio, Row, report, run_all

GOAL = 0.85


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what benchmarks.data.make made")
    parser.add_argument("--codecs", nargs="+", help="by default all that are there")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10, help="of every row and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows, ratios = [], []
    for codec in args.codecs or sorted(path.stem for path in args.data.glob("*.toml")):
        for workers in args.workers:
            ceiling, ours = f"{codec}, {workers} processes, decoding alone", f"{codec}, {workers} workers, loader"
            what = ("--data", str(args.data.resolve()), "--codec", codec, "--stride", str(args.stride))
            arguments = (*what, "--workers", str(workers), "--seconds", str(args.seconds))
            rows.append(Row(name=ceiling, module="benchmarks.data.ceiling", arguments=arguments))
            rows.append(Row(name=ours, module="benchmarks.data.ours", arguments=arguments))
            ratios.append(Ratio(ours=ours, theirs=ceiling, goal=GOAL))
            ratios.append(Ratio(ours=ours, theirs=ceiling, by="cpu"))
    found = run_all(rows, rounds=args.rounds)
    if not report("Loader and decoding alone", found, ratios, as_json=args.json):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
