"""Our index against `webdataset` on the same shards: whole samples without decoding, and windows decoded.

    python -m benchmarks.data.make --out DIR && python -m benchmarks.data.webdataset --data DIR

One process each. Without decoding, both read every member of a clip: ours in the random order of a mixture and checked
by CRC-32, webdataset's in the order of the file and unchecked; goal: ten times as many. Decoded, both make one window a
sample. A clip of few bytes shows what a sample costs, one of many what copying its bytes does: `make --size` varies
that. Exits with 1 where the goal is missed.
"""

import argparse
from pathlib import Path

from benchmarks.data.tables import Ratio, Row, report, run_all

GOAL = 10


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what benchmarks.data.make made")
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--seconds", type=float, default=5, help="of every row and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    common = ("--data", str(args.data.resolve()), "--codec", args.codec, "--seconds", str(args.seconds))
    members, windows = "benchmarks.data.members", "benchmarks.data.ours"
    rows = [
        Row(name="index, bytes", module=members, arguments=(*common, "--reader", "index")),
        Row(name="webdataset, bytes", module=members, arguments=(*common, "--reader", "webdataset")),
        Row(name="loader, decoded", module=windows, arguments=(*common, "--workers", "0")),
        Row(name="webdataset, decoded", module=members, arguments=(*common, "--reader", "webdataset", "--decode")),
    ]
    ratios = [
        Ratio(ours="index, bytes", theirs="webdataset, bytes", goal=GOAL),
        Ratio(ours="loader, decoded", theirs="webdataset, decoded"),
    ]
    found = run_all(rows, rounds=args.rounds)
    if not report("Our index and webdataset", found, ratios, as_json=args.json):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
