"""Conversions between RGB and 4:2:0 without a codec between them: time to come back, and what is lost.

    python -m benchmarks.data.colours

"accurate" are swscale's exact rounding and interpolated chroma; "plain" is its fast path, which torchcodec and decord
use too; "ours" is `vpdata.codecs.colour`.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from benchmarks.data.recorded import RECORDINGS, psnr_of_frames, recorded
from vpdata.codecs.colour import TO_RGB, to_yuv

ACCURATE = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
DECODINGS = {"plain": TO_RGB, "accurate": TO_RGB | {"interpolation": ACCURATE | Interpolation.BILINEAR}}
reformatter = VideoReformatter()


def _accurate(rgb: NDArray[np.uint8]) -> Any:
    return reformatter.reformat(
        av.VideoFrame.from_ndarray(rgb, format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=ACCURATE | Interpolation.BICUBIC,
        threads=1,
    )


ENCODINGS: dict[str, Callable[[NDArray[np.uint8]], Any]] = {"accurate": _accurate, "ours": to_yuv}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=RECORDINGS / "robocasa", metavar="PATH")
    parser.add_argument("--source", default="robocasa", help="what wrote them")
    parser.add_argument("--frames", type=int, default=40, help="of each episode, at most")
    args = parser.parse_args()
    clips = [one.frames for one in recorded(args.source, args.recordings, num_frames=args.frames)]
    print(
        "| to 4:2:0 | to RGB | back, ms a frame | PSNR, worst (dB) | brighter by, grey levels R, G, B |\n"
        + "|---" * 5
        + "|"
    )
    for encoding, encode in ENCODINGS.items():
        for decoding, options in DECODINGS.items():
            milliseconds, psnr, bias = [], [], []
            for frames in clips:
                stored = [encode(np.ascontiguousarray(frame)) for frame in frames]
                begin = time.process_time()
                back = [reformatter.reformat(frame, **options).to_ndarray() for frame in stored]
                milliseconds.append(1000 * (time.process_time() - begin) / len(frames))
                psnr.append(psnr_of_frames(np.stack(back), frames))
                bias.append((np.stack(back).astype(np.float64) - frames).mean(axis=(0, 1, 2)))
            db = np.concatenate(psnr)
            shift = ", ".join(f"{value:+.2f}" for value in np.mean(bias, axis=0))
            cells = f"{np.median(milliseconds):.3f} | {db.mean():.1f}, {db.min():.1f} | {shift}"
            print(f"| {encoding} | {decoding} | {cells} |")


if __name__ == "__main__":
    main()
