"""How close every lossy codec comes to the test recordings: the worst frame is what `Codec.min_psnr_db` promises.

    python -m benchmarks.data.fidelity

Every camera of every episode of every recording, as recorded, and those of 128 pixels also at 64.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from benchmarks.data.recorded import RECORDINGS, psnr_of_frames, recorded
from vpdata import codecs
from vpdata.clips.resize import resize

FOLDERS = (
    ("robocasa", "robocasa"),
    ("libero", "libero"),
    ("teleop", "aloha"),
    ("teleop", "aloha_raw"),
    ("video", "video"),
)
SMALL = 64


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, metavar="DIR", help="laid out as the tests' are")
    parser.add_argument("--frames", type=int, default=120, help="of each episode, at most")
    args = parser.parse_args()
    lossy = [codecs.load(name) for name in codecs.NAMES if codecs.load(name).min_psnr_db < math.inf]
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for source, folder in FOLDERS:
        for one in recorded(source, args.recordings / folder, num_frames=args.frames):
            versions = [one.frames]
            if one.frames.shape[1:3] == (2 * SMALL, 2 * SMALL):
                versions.append(resize(one.frames, height=SMALL, width=SMALL, fit="crop"))
            for frames in versions:
                height, width = frames.shape[1:3]
                for codec in lossy:
                    data = codec.encode(frames, fps=one.fps)
                    decoded = codec.decode(data, range(len(frames)), height=height, width=width)
                    psnr = psnr_of_frames(decoded, frames)
                    bias = float((decoded.astype(np.float64) - frames).mean())
                    key = (codec.name, f"{height} x {width}")
                    found.setdefault(key, []).append((float(psnr.min()), float(psnr.mean()), bias))
    print(
        "| codec | frames | worst frame, dB | mean, dB | brighter by, grey levels | promised, dB |\n" + "|---" * 6 + "|"
    )
    for (name, size), values in sorted(found.items()):
        worst, means, biases = zip(*values, strict=True)
        cells = f"{min(worst):.1f} | {np.mean(means):.1f} | {np.mean(biases):+.2f}"
        print(f"| {name} | {size} | {cells} | {codecs.load(name).min_psnr_db:.0f} |")


if __name__ == "__main__":
    main()
