"""How fast recordings become a data set: all of `vpdata ingest` beside encoding alone, and beside LeRobot's writer.

    sh benchmarks/peers/setup.sh PEERS
    python -m benchmarks.data.ingest --work DIR --peers PEERS

The input is two HDF5 files, as of two tasks, in RoboCasa's layout and chunks, gzip'd: three cameras at 256²,
`--episodes` demos of `--frames` frames as `benchmarks.data.make` makes them, each there `--copies` times; with
`--contiguous` the images lie in one piece, as those of LIBERO do. It is made in DIR once. A round
runs, one after the other, with as many processes that encode:

    encoder     the codec and the clips of an ingest on frames that lie in memory (`ingest_encoder`)
    reader      the frames as the ingest reads them, and nothing made of them (`ingest_encoder --read`)
    ingest      `vpdata ingest` from its start to its end: planning, hashing, reading, encoding, writing, publishing
    again       the same command once more, which finds its work done
    LeRobot     `add_frame` and `save_episode` on frames that lie in memory, encoding while it gets them

Goals: ingest at 80 % of the encoder's frames a second, and at five times LeRobot's with either of its codecs. Ratios
are taken within a round. Exits with 1 where a goal is missed; without --peers LeRobot is left out.
"""

import argparse
import itertools
import json
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import h5py

from benchmarks.data.ingest_measuring import Watched, Written, reported, watch
from benchmarks.data.make import write_frames
from benchmarks.data.recorded import RECORDINGS
from benchmarks.data.tables import machine, peer_python
from vpdata.ingest import IngestOptions, make_plan
from vpdata.ingest.plan import SHARD_FRAMES
from vpdata.sources.robocasa import CAMERAS

ENCODER, READER, INGEST, AGAIN, LEROBOT = "encoder", "reader", "ingest", "again", "LeRobot"
FILES = 2
GOALS = {ENCODER: 0.8, LEROBOT: 5.0}
VCODECS = {"AV1": "libsvtav1", "H.264": "h264"}


def make_input(
    root: Path, recordings: Sequence[Path], *, episodes: int, frames: int, size: int, copies: int, contiguous: bool
) -> Path:
    """The folder with the HDF5 files, made unless it is there with these arguments in its name."""
    folder = root / f"{episodes}x{copies}-{frames}-{size}{'-contiguous' if contiguous else ''}"
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    compression = None if contiguous else "gzip"
    for i in range(FILES):
        some = range(i * episodes // FILES, (i + 1) * episodes // FILES)
        file = partial / f"task-{i}" / "demos.hdf5"
        write_frames(recordings, file, episodes=some, frames=frames, size=size, compression=compression)
        with h5py.File(file, "r+") as h5:
            for number, copy in itertools.product(some, range(1, copies)):
                h5.copy(h5["data"][f"demo_{number}"], h5["data"], f"demo_{number + copy * episodes}")
    return partial.rename(folder)


def rounds_of(folder: Path, work: Path, args: argparse.Namespace) -> dict[str, list[Written]]:
    """Every row once a round, in order."""
    plan = make_plan("robocasa", [folder], IngestOptions(shard_frames=args.shard_frames))
    file = min(folder.rglob("*.hdf5"))
    found: dict[str, list[Written]] = {}
    for number in range(args.rounds):
        out = work / f"out-{number}"
        shutil.rmtree(out, ignore_errors=True)
        workers = str(args.workers)
        module = [sys.executable, "-m"]
        alone = [*module, "benchmarks.data.ingest_encoder", "--file", str(file), "--processes", workers]
        command = [*module, "vpdata", "ingest", "robocasa", str(folder), "--out", str(out), "--workers", workers]
        command += ["--shard-frames", str(args.shard_frames)]
        _add(found, ENCODER, reported([*alone, "--seconds", str(args.seconds)]))
        _add(found, READER, reported([*alone, "--seconds", str(args.seconds / 3), "--read"]))
        _add(found, INGEST, _whole(watch(command), plan.camera_frames))
        _add(found, AGAIN, _whole(watch(command), plan.camera_frames))
        shutil.rmtree(out)
        if args.peers is not None:
            for name, vcodec in VCODECS.items():
                peer = [peer_python(args.peers), "-m", "benchmarks.peers.lerobot_write", "--file", str(file)]
                peer += ["--out", str(out), "--vcodec", vcodec, "--steps", str(args.peer_steps)]
                _add(found, f"{LEROBOT}, {name}", reported(peer))
                shutil.rmtree(out)
    return found


def _add(found: dict[str, list[Written]], name: str, written: Written) -> None:
    print(f"{name}: {written.rate:.0f} frames/s, {written.cpu_ms:.2f} CPU-ms a frame", file=sys.stderr, flush=True)
    found.setdefault(name, []).append(written)


def _whole(watched: Watched, frames: int) -> Written:
    return Written(frames=frames, seconds=watched.seconds, cpu_seconds=watched.cpu_seconds)


def ratios(found: Mapping[str, Sequence[Written]]) -> dict[str, list[float]]:
    """The ingest's frames a second against each other row's, by round."""
    return {
        name: [ours.rate / theirs.rate for ours, theirs in zip(found[INGEST], rows, strict=True)]
        for name, rows in found.items()
        if name not in (READER, INGEST, AGAIN)
    }


def goal_of(name: str) -> float:
    """What the median of a row's ratios is to reach."""
    return GOALS[name.split(",")[0]]


def print_tables(found: Mapping[str, Sequence[Written]]) -> None:
    """As Markdown."""
    print("| | frames | seconds | frames/s | CPU-ms a frame |\n|---|---|---|---|---|")
    for name, rows in found.items():
        seconds = statistics.median(row.seconds for row in rows)
        rate = statistics.median(row.rate for row in rows)
        cpu_ms = statistics.median(row.cpu_ms for row in rows)
        print(f"| {name} | {rows[0].frames:,} | {seconds:.1f} | {rate:,.0f} | {cpu_ms:.3f} |")
    print("\n| ingest / | ratio | lowest, highest | goal |\n|---|---|---|---|")
    for name, values in ratios(found).items():
        middle, goal = statistics.median(values), goal_of(name)
        reached = "reached" if middle >= goal else "missed"
        print(f"| {name} | {middle:.2f} | {min(values):.2f}, {max(values):.2f} | ≥ {goal:g}, {reached} |")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for the input and what is made of it")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="what benchmarks/peers/setup.sh made")
    parser.add_argument("--recordings", type=Path, nargs="+", default=[RECORDINGS / "robocasa"], help="HDF5 files")
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--frames", type=int, default=500, help="of every camera of an episode")
    parser.add_argument("--size", type=int, default=256, help="pixels, height and width")
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--contiguous", action="store_true", help="images in one piece, not gzip'd")
    parser.add_argument("--shard-frames", type=int, default=SHARD_FRAMES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15, help="of the encoder alone")
    parser.add_argument("--peer-steps", type=int, default=2000, help="steps that LeRobot writes, three frames each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    size = {"episodes": args.episodes, "frames": args.frames, "size": args.size, "copies": args.copies}
    folder = make_input(args.work.resolve(), args.recordings, **size, contiguous=args.contiguous)
    found = rounds_of(folder, args.work.resolve(), args)
    if args.json:
        rows = {name: [asdict(written) for written in rows] for name, rows in found.items()}
        print(json.dumps({"machine": machine(), "rounds": rows, "ratios": ratios(found)}, indent=2))
    else:
        print(f"Ingest of {len(CAMERAS)} cameras, {args.workers} workers\n{machine()}\n")
        print_tables(found)
    if any(statistics.median(values) < goal_of(name) for name, values in ratios(found).items()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
