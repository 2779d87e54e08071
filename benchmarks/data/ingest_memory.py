"""Whether the memory of an ingest grows with its input: ingests of longer and longer demos, watched.

    python -m benchmarks.data.ingest_memory --work DIR

Each file holds two demos of three cameras at 256², so long that two workers each read one: not compressed and in one
piece as some writers leave them, or gzip'd in chunks. Goals: all processes together never take more than 1.5 GB, and of
the same kind of file the longest at most a tenth more than the shortest. Files are made in DIR and removed again; the
largest has 4.2 GB. Exits with 1 where a goal is missed.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from benchmarks.data.ingest_measuring import watch
from benchmarks.data.recorded import RECORDINGS, recorded
from benchmarks.data.tables import machine
from vpdata import spaces
from vpdata.clips.resize import resize
from vpdata.sources.robocasa import ACTION_SPACE, CAMERAS, STATE

SIZE, NUM_DEMOS = 256, 2
GOAL_BYTES, GOAL_GROWTH = 1.5e9, 0.1
STATE_SIZES = dict(zip(STATE, (3, 4, 3, 4, 2), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One ingest: how the images were stored, steps of each demo, the file's size, and the most memory at once."""

    compression: str | None
    steps: int
    file_bytes: int
    peak_pss_bytes: int


def write(file: Path, *, steps: int, compression: str | None) -> None:
    """A file of two demos, each the same few recorded frames again and again; images are written as they come."""
    first = next(iter(recorded("robocasa", RECORDINGS / "robocasa", num_frames=60)))
    frames = resize(first.frames, height=SIZE, width=SIZE, fit="stretch")
    with h5py.File(file, "w") as h5:
        for number in range(NUM_DEMOS):
            demo = h5.create_group(f"data/demo_{number}")
            demo["actions"] = np.zeros((steps, spaces.load(ACTION_SPACE).size))
            for name, size in STATE_SIZES.items():
                demo[f"obs/{name}"] = np.zeros((steps, size))
            for name in CAMERAS.values():
                shape = (steps, *frames.shape[1:])
                images = demo["obs"].create_dataset(name, shape, np.uint8, compression=compression)
                block = images.chunks[0] if images.chunks else len(frames)
                for start in range(0, steps, block):
                    images[start : start + block] = frames[np.arange(start, min(start + block, steps)) % len(frames)]


def measure(work: Path, *, steps: int, compression: str | None, workers: int) -> Row:
    """Makes the file, ingests it, and removes both."""
    file, out = work / "demos.hdf5", work / "out"
    shutil.rmtree(out, ignore_errors=True)
    write(file, steps=steps, compression=compression)
    command = [sys.executable, "-m", "vpdata", "ingest", "robocasa", str(file), "--out", str(out)]
    watched = watch([*command, "--workers", str(workers)], memory=True)
    row = Row(
        compression=compression,
        steps=steps,
        file_bytes=file.stat().st_size,
        peak_pss_bytes=watched.peak_pss_bytes,
    )
    file.unlink()
    shutil.rmtree(out)
    return row


def is_flat(rows: Sequence[Row]) -> bool:
    """Whether the longest file of a kind needs at most a tenth more than the shortest."""
    kinds = {row.compression for row in rows}
    series = [[row.peak_pss_bytes for row in rows if row.compression == kind] for kind in kinds]
    return all(peaks[-1] <= (1 + GOAL_GROWTH) * peaks[0] for peaks in series)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, nargs="+", default=[1200, 2400, 3600], help="of uncompressed demos")
    parser.add_argument("--gzip-steps", type=int, nargs="*", default=[1200, 2400], help="of compressed demos")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    kinds = [(steps, None) for steps in args.steps] + [(steps, "gzip") for steps in args.gzip_steps]
    rows = [measure(args.work, steps=steps, compression=kind, workers=args.workers) for steps, kind in kinds]
    if args.json:
        print(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2))
    else:
        print(f"Memory of an ingest with {args.workers} workers\n{machine()}\n")
        print("| images | steps a demo | file, GB | all processes at most, MB |\n|---|---|---|---|")
        for row in rows:
            sizes = f"{row.file_bytes / 1e9:.2f} | {row.peak_pss_bytes / 1e6:.0f}"
            print(f"| {row.compression or 'in one piece'} | {row.steps:,} | {sizes} |")
    if not is_flat(rows) or max(row.peak_pss_bytes for row in rows) > GOAL_BYTES:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
