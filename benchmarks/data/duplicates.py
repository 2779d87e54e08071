"""What the search for duplicates takes at many clips, what it finds of planted copies, and what it mistakes for them.

    python -m benchmarks.data.duplicates search
    python -m benchmarks.data.duplicates copies --recordings tests/recordings --work DIR

`search`: random hashes, HASHES a clip; one clip in a hundred is a copy of another with every bit flipped with a
probability of 6 / 64. Leaves time, peak memory, the share of the copies that are candidates, and how many candidates
are none.

`copies`: the recordings of LIBERO and RoboCasa under --recordings, each camera of each episode, are encoded again,
scaled, cropped, mirrored. Leaves, for each way, the share that are candidates and the share that are found, and how
many pairs of different demonstrations (all pairs of one task and camera) are mistaken for copies.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.curation.copies_made import cropped, grey, read_video, recorded, write_video
from vpdata import sources
from vpdata.curation.copies import find_copies
from vpdata.curation.duplicates import PERIOD_SECONDS, HashSequences, find_candidates
from vpdata.curation.footage import Footage, compare, small
from vpdata.curation.phash import phash_many
from vpdata.sources import SourceOptions

HASHES = 8
FLIPPED = 6 / 64
FPS = 20

Frames = NDArray[np.uint8]

WAYS: dict[str, tuple[Callable[[Frames], Frames], float, int]] = {
    # what is done to the frames, the factor of both sides, crf
    "encoded, crf 28": (lambda rgb: rgb, 1, 28),
    "encoded, crf 35": (lambda rgb: rgb, 1, 35),
    "half the size, crf 23": (lambda rgb: rgb, 0.5, 23),
    "twice the size, crf 28": (lambda rgb: rgb, 2, 28),
    "mirrored, crf 28": (lambda rgb: rgb[:, :, ::-1], 1, 28),
    "darker, less contrast, crf 28": (lambda rgb: (rgb * 0.7 + 20).astype(np.uint8), 1, 28),
    "without its first second, crf 28": (lambda rgb: rgb[FPS:], 1, 28),
    "without its first 1.25 s, crf 28": (lambda rgb: rgb[FPS + FPS // 4 :], 1, 28),
    "cropped by 5 %, crf 28": (lambda rgb: cropped(rgb, 0.05), 1, 28),
    "cropped by 5 %, all at one corner, crf 28": (lambda rgb: cropped(rgb, 0.05, at=0), 1, 28),
    "cropped by 10 %, crf 28": (lambda rgb: cropped(rgb, 0.10), 1, 28),
}


class Made:
    """Recordings in memory, as `find_copies` takes them."""

    def __init__(self, recordings: list[Frames]) -> None:
        self._grey = [grey(rgb) for rgb in recordings]
        step = round(PERIOD_SECONDS * FPS)
        self.hashes = HashSequences.of([phash_many(frames[::step]) for frames in self._grey])

    def content(self, i: int) -> str:
        return f"{id(self)}-{i}"

    def footage(self, i: int) -> Footage:
        frames = self._grey[i]
        return Footage(grey=small(frames), seconds=np.arange(len(frames)) / FPS)


def search(*, num_clips: int) -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(1, 2**64 - 1, (num_clips, HASHES), dtype=np.uint64)
    chosen = random.permutation(num_clips)[: 2 * (num_clips // 100)]
    originals, copies = chosen[::2], chosen[1::2]
    hashes[copies] = hashes[originals]
    for bit in range(64):
        flips = random.random((len(copies), HASHES)) < FLIPPED
        hashes[copies] ^= flips.astype(np.uint64) << np.uint64(bit)
    bounds = np.arange(num_clips + 1, dtype=np.int64) * HASHES
    begin, cpu = time.perf_counter(), time.process_time()
    found = find_candidates(HashSequences(hashes=hashes.ravel(), bounds=bounds))
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    planted = set(zip(np.minimum(originals, copies).tolist(), np.maximum(originals, copies).tolist(), strict=True))
    candidates = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print("| clips | hashes | s | CPU s | peak GB | copies found | candidates that are none |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {num_clips} | {hashes.size} | {seconds:.0f} | {cpu:.0f} | {peak:.2f} "
        f"| {len(candidates & planted) / len(planted):.2%} of {len(planted)} | {len(candidates - planted)} |"
    )


def copies(*, folder: Path, work: Path) -> None:
    tasks = _tasks(folder)
    episodes = [rgb for demos in tasks for rgb in demos]
    originals = Made(episodes)
    print(f"{len(episodes)} recordings of one camera.\n")
    print("| copies | candidates | found |")
    print("|---|---|---|")
    for way, (change, factor, crf) in WAYS.items():
        made = []
        for number, rgb in enumerate(episodes):
            _, height, width, _ = rgb.shape
            size = (round(height * factor), round(width * factor))
            made.append(read_video(write_video(work / f"{number}.mp4", change(rgb), size=size, crf=crf)))
        variants = Made(made)
        pairs = find_candidates(variants.hashes, against=originals.hashes)
        num_candidates = int(np.count_nonzero(pairs.first == pairs.second))
        right = [copy for copy in find_copies(variants, against=originals).copies if copy.first == copy.second]
        print(f"| {way} | {num_candidates / len(episodes):.0%} | {len(right) / len(episodes):.0%} |", flush=True)
    _mistakes(tasks)


def _mistakes(tasks: list[list[Frames]]) -> None:
    """All pairs of different demonstrations of one task, seen by one camera."""
    scores, wrong = [], 0
    for demos in tasks:
        made = Made(demos)
        wrong += len(find_copies(made).copies)
        small_demos = [made.footage(i) for i in range(len(demos))]
        scores += [
            max(compare(a, b, offset_seconds=offset, is_mirrored=False).score for offset in (-0.5, 0.0, 0.5))
            for i, a in enumerate(small_demos)
            for b in small_demos[i + 1 :]
        ]
    print(f"\n{len(scores)} pairs of different demonstrations of one task and camera: {wrong} taken for copies.")
    print(f"Their likeness, each at its best offset: largest {max(scores):.3f}, median {np.median(scores):.3f}.")


def _tasks(folder: Path) -> list[list[Frames]]:
    """The recordings of each task and camera."""
    tasks = []
    for name in ("libero", "robocasa"):
        source = sources.load(name)
        for file in source.find(folder / name):
            (first, *_) = (e for e in source.episodes(file, SourceOptions()) if not isinstance(e, Exception))
            tasks += [recorded(file.path, camera.name, source=name) for camera in first.cameras]
    return tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("search").add_argument("--clips", type=int, default=1_000_000)
    made = verbs.add_parser("copies")
    made.add_argument("--recordings", type=Path, required=True, metavar="DIR")
    made.add_argument("--work", type=Path, required=True, metavar="DIR", help="for the encoded copies")
    options = parser.parse_args()
    if options.verb == "search":
        search(num_clips=options.clips)
    else:
        copies(folder=options.recordings, work=options.work)


if __name__ == "__main__":
    main()
