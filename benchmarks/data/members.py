"""Whole samples from shards, one process: by our index in the order of a mixture, or by webdataset in the file's order.

    python -m benchmarks.data.members --data DIR --codec h264 --reader webdataset --decode

A sample is a clip's every member as bytes; ours are checked by their CRC-32. `--decode` makes webdataset decode one
window of every sample, with our codec. Prints a `Measured` whose windows are samples.
"""

import json
import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import webdataset as wds

from benchmarks.data.measuring import measure, window_parser
from vpdata import codecs
from vpdata.mixture.mixture import Mixture


def by_index(args: Any) -> Iterator[int]:
    """One clip after another, wherever the mixture says."""
    mixture = Mixture.open(args.data / f"{args.codec}.toml")
    for position in count():
        ref = mixture.locate(position)
        mixture.datasets[ref.dataset].read_clip(ref.clip)
        yield 1


def by_webdataset(args: Any) -> Iterator[int]:
    """One clip after another as they stand in the shards, again and again."""
    shards = sorted(str(path) for path in (args.data / args.codec).glob("*.tar"))
    draws = random.Random(0)
    while True:
        for sample in wds.WebDataset(shards, shardshuffle=False, empty_check=False):
            if args.decode:
                decode_window(sample, args, draws)
            yield 1


def decode_window(sample: dict[str, bytes], args: Any, draws: random.Random) -> None:
    """Decodes a window that starts anywhere in the clip."""
    description = json.loads(sample["json"])
    codec = codecs.load(args.codec)
    last = description["stop_frame"] - description["start_frame"] - 1
    rows = draws.randrange(description["num_starts"]) + args.stride * np.arange(args.num_frames)
    for camera in description["cameras"]:
        data, size = sample[f"{camera['name']}.{codec.extension}"], {name: camera[name] for name in ("height", "width")}
        codec.decode(data, np.minimum(rows, last).tolist(), **size)


def main() -> None:
    """Command line."""
    parser = window_parser(__doc__)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--reader", choices=["index", "webdataset"], required=True)
    parser.add_argument("--decode", action="store_true")
    args = parser.parse_args()
    samples = by_webdataset(args) if args.reader == "webdataset" else by_index(args)
    measure(samples, seconds=args.seconds).print()


if __name__ == "__main__":
    main()
